-- Notes that a job was published, whose first tasks went to a broker in another database.
--
-- KEYS[1]  the job's record
-- Returns  nothing

redis.call('HDEL', KEYS[1], 'publishing')
