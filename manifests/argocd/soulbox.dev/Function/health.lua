-- Generated from hack/argocd/standard.lua; edits are lost.
-- Health of a Function: Ready is Healthy, suspended by its owner is Suspended, Stalled is Degraded;
-- whatever is still tried is Progressing, with the operator's words.
local hs = { status = "Progressing", message = "The operator has not looked at it yet." }
local status = obj.status
if status == nil or (status.observedGeneration or 0) < (obj.metadata.generation or 1) then
  return hs
end
if status.message ~= nil and status.message ~= "" then
  hs.message = status.message
end
if status.state == "Stopped" or status.state == "Suspended" then
  hs.status = "Suspended"
end
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" and condition.status == "True" then
    hs.status = "Healthy"
  elseif condition.type == "Stalled" and condition.status == "True" then
    hs.status = "Degraded"
    hs.message = (condition.reason or "Failed") .. ": " .. (condition.message or "")
  end
end
return hs
