"""Settings, and the plan that follows from them."""
