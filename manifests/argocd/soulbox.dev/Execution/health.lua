-- Health of an Execution: over and Completed is Healthy, over in any other way is Degraded.
local hs = { status = "Progressing", message = "The operator has not looked at it yet." }
local status = obj.status
if status == nil or (status.observedGeneration or 0) < (obj.metadata.generation or 1) then
  -- A spec that is over may still change: spec.cancel, spec.ttlSecondsAfterFinished. The
  -- outcome stays what it is.
  if status == nil or status.completionTime == nil then
    return hs
  end
end
if status.message ~= nil and status.message ~= "" then
  hs.message = status.message
else
  hs.message = status.state or hs.message
end
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Succeeded" and condition.status == "True" then
    hs.status = "Healthy"
  elseif condition.type == "Stalled" and condition.status == "True" then
    hs.status = "Degraded"
    hs.message = (condition.reason or "Failed") .. ": " .. (condition.message or "")
  end
end
return hs
