variable "launchdarkly_access_token" {
  description = "API access token with the right to create flags and to change their targeting."
  type        = string
  sensitive   = true
}

variable "project_key" {
  description = "Key of the project that gets the flags."
  type        = string
}

variable "environment_key" {
  description = "Key of the environment in which the flags are turned on."
  type        = string
}
