"""What a sandbox sends, made up: targets for hypothesis and atheris (hack/fuzz)."""
