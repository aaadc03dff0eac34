-- Who may see, resume, cancel and feed a job: whoever is trusted (a claim or a staff account was shown, which Python has
-- checked), its user, or the very socket that it was escalated for. What they are comes first in ARGV:
--   socket, user ("user:<pk>", "nobody" for one who is not logged in, "" when the message does not know), "1" if trusted

-- Returns the job, or nil when there is none or it is somebody else's; those two are never told apart.
local function job_for(key, ARGV)
  local job = open_job(key)
  if not job or ARGV[3] == '1' then
    return job
  elseif job.owner ~= '' and ARGV[2] ~= '' then
    return job.owner == ARGV[2] and job or nil
  end
  return ARGV[1] ~= '' and job.asker == ARGV[1] and job or nil
end
