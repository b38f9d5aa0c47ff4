output "flags" {
  description = "What to put into FLAGS; it is env-sync's default."
  value       = join(",", sort(keys(launchdarkly_feature_flag.sample)))
}
