"""SandboxClasses: what is made from them."""
