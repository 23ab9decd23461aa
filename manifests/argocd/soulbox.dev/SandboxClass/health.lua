-- Health of a SandboxClass: it has no status; what is wrong with one is told by the Sandboxes
-- that name it.
return { status = "Healthy", message = "Sandboxes and Executions name it." }
