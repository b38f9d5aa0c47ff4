# The three flags that env-sync keeps in a .env file unless it is told others. Each has three variations; what is served
# at first is the first of them, and the last where the flag is off. From then on the dashboard decides: what is served
# is not reset by the next apply.

locals {
  app_urls = [
    { name = "SAMPLE_APP_URL v2", value = "https://app-api-v2.example.com" },
    { name = "SAMPLE_APP_URL v1", value = "https://app-api-v1.example.com" },
    { name = "SAMPLE_APP_URL Base", value = "https://app-api.example.com" },
  ]

  flags = {
    SAMPLE_API_URL = {
      description = "Base URL of the API."
      variations = [
        { name = "API v2", value = "https://api-v2.example.com" },
        { name = "API v1", value = "https://api-v1.example.com" },
        { name = "fallback API", value = "https://api-default.example.com" },
      ]
    }
    SAMPLE_SERVICE_URL = {
      description = "Base URL of the service."
      variations  = local.app_urls
    }
    SAMPLE_APP_URL = {
      description = "Base URL of the app."
      variations  = local.app_urls
    }
  }
}

resource "launchdarkly_feature_flag" "sample" {
  for_each = local.flags

  project_key    = var.project_key
  key            = each.key
  name           = each.key
  description    = each.value.description
  variation_type = "string"
  temporary      = false
  tags           = ["env-sync", "terraform"]

  dynamic "variations" {
    for_each = each.value.variations

    content {
      name  = variations.value.name
      value = variations.value.value
    }
  }

  defaults {
    on_variation  = 0
    off_variation = 2
  }
}

resource "launchdarkly_feature_flag_environment" "sample" {
  for_each = launchdarkly_feature_flag.sample

  flag_id       = each.value.id
  env_key       = var.environment_key
  on            = true
  off_variation = 2

  fallthrough {
    variation = 0
  }

  lifecycle {
    ignore_changes = [on, fallthrough, rules, targets, context_targets, prerequisites]
  }
}
