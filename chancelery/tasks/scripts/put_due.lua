-- Keeps a task that is not yet to be published.
--
-- KEYS[1]  the prefix of jobs
-- ARGV     task, keys of its queue and of its bell, message, job ("" for none), when it is due (ms, 0 for at once), "1"
--          when its job has not had its turn, key of the chord whose header it is part of ("" for none), seconds that
--          Celery keeps such keys (0 for ever), seconds that the record is kept from then on, clock ("" for Redis' own)
-- Returns  1, or 0 when the job is cancelled: nothing was kept. A repetition changes nothing.

return keep_task(KEYS[1], clock_ms(ARGV[11]), ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7],
  ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]))
