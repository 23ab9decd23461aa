-- Health of a SandboxClass: what it lacks is in its status; before the operator has looked at it
-- it is as good as any.
local hs = { status = "Healthy", message = "Sandboxes and Executions name it." }
for _, condition in ipairs((obj.status or {}).conditions or {}) do
  if condition.type == "Stalled" and condition.status == "True" then
    hs.status = "Degraded"
    hs.message = (condition.reason or "Failed") .. ": " .. (condition.message or "")
  end
end
return hs
