"""The settings of a user, and the plan that follows from them."""
