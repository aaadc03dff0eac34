-- Forgets a task that waits for its time.
--
-- KEYS[1]  the prefix of jobs
-- ARGV     task
-- Returns  1, or 0 when it did not wait

return take_due(KEYS[1], ARGV[1]) and 1 or 0
