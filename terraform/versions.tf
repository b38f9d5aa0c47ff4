terraform {
  required_version = ">= 1.3"

  required_providers {
    launchdarkly = {
      source  = "launchdarkly/launchdarkly"
      version = "~> 2.20"
    }
  }
}

provider "launchdarkly" {
  access_token = var.launchdarkly_access_token
}
