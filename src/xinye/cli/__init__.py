"""What a person types: one thin file per verb, no logic."""
