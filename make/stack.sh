# Sourced by the commands beside it that touch AWS: which stack ENV means, and what has to be there before it is touched.
#
# A command first says in one line what it will do, then asks for what it needs; what is missing ends it with the command
# that mends it. Talk goes to stderr, so that what a command is for can be piped. No secret is read here but by `connect`.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${FLAGCACHE_TOOLS_DIR:-$root/.tools}
ENV=${ENV-staging}
stack=flagcache-$ENV
export PATH="$tools/cloud/bin:$tools/cargo-lambda/bin:$PATH"
export SAM_CLI_TELEMETRY=0 AWS_PAGER=""
# aws and sam each read but one of the two.
export AWS_REGION=${AWS_REGION:-${AWS_DEFAULT_REGION:-}}
export AWS_DEFAULT_REGION=${AWS_REGION}
[[ -n $AWS_REGION ]] || unset AWS_REGION AWS_DEFAULT_REGION

say() {
  printf '%s\n' "$*" >&2
}

# stop WHY [COMMAND…]: ends with what mends it.
stop() {
  say "stopped: $1"
  shift
  (($# == 0)) || printf '  %s\n' "$@" >&2
  exit 1
}

[[ $ENV =~ ^[A-Za-z][A-Za-z0-9-]{0,39}$ ]] ||
  stop "ENV is '$ENV'; it is the key of a LaunchDarkly environment, of letters, digits and hyphens" \
    "make $(basename "$0")${1:+-$1} ENV=staging"

# quietly COMMAND…: its output, and its complaint in $complaint.
complaint=
quietly() {
  local heard output status=0
  heard=$(mktemp)
  output=$("$@" 2>"$heard") || status=$?
  complaint=$(tr -s '[:space:]' ' ' <"$heard")
  complaint=${complaint# }
  complaint=${complaint% }
  rm -f "$heard"
  [[ -z $output ]] || printf '%s\n' "$output"
  return "$status"
}

# give_up: ends with an explanation of $complaint.
give_up() {
  local text=$complaint
  case $text in
    *"Unable to locate credentials"* | *NoCredentials*)
      stop "there are no AWS credentials" "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…    (or AWS_PROFILE=…, or: aws configure)" ;;
    *"config profile"*"could not be found"*) stop "there is no AWS profile '${AWS_PROFILE:-}'" "aws configure --profile ${AWS_PROFILE:-}" ;;
    *ExpiredToken* | *"expired"* | *"Error loading SSO Token"*) stop "the AWS credentials have expired" "aws sso login    (or export new ones)" ;;
    *InvalidClientTokenId* | *SignatureDoesNotMatch* | *UnrecognizedClient* | *AuthFailure*)
      stop "AWS does not accept the credentials" "aws sts get-caller-identity    (check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN)" ;;
    *AccessDenied* | *"not authorized"*) stop "the credentials may not do this: ${text:0:400}" ;;
    *"Could not connect"* | *"Connect timeout"* | *"Failed to connect"*)
      stop "AWS cannot be reached: ${text:0:300}" "check the network, AWS_REGION=${AWS_REGION:-} and AWS_ENDPOINT_URL=${AWS_ENDPOINT_URL:-}" ;;
    *) stop "AWS refuses: ${text:0:400}" ;;
  esac
}

# need_aws: tools, region and credentials; sets $account and $region.
need_aws() {
  "$root/make/install" cloud
  region=${AWS_REGION:-$(aws configure get region 2>/dev/null || true)}
  [[ -n $region ]] || stop "no AWS region is set" "export AWS_REGION=eu-west-1"
  export AWS_REGION=$region AWS_DEFAULT_REGION=$region
  quietly aws sts get-caller-identity --query Account --output text >"$scratch/account" || give_up
  account=$(<"$scratch/account")
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# stack_status: e.g. UPDATE_COMPLETE; nothing where there is no stack.
stack_status() {
  if quietly aws cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].StackStatus' --output text \
    >"$scratch/status"; then
    status=$(<"$scratch/status")
  elif [[ $complaint == *"does not exist"* ]]; then
    status=
  else
    give_up
  fi
}

need_stack() {
  stack_status
  [[ -n $status && $status != REVIEW_IN_PROGRESS ]] || no_stack "make deploy ENV=$ENV"
}

# no_stack COMMAND: ends; says which stacks of ours there are, since ENV or the region may be another than was meant.
no_stack() {
  local others=
  quietly aws cloudformation describe-stacks --query "Stacks[?starts_with(StackName, 'flagcache-')].StackName" --output text \
    >"$scratch/stacks" && others=$(tr -s '[:space:]' ' ' <"$scratch/stacks")
  stop "there is no stack $stack in account $account, region $region${others:+, but: ${others% }}" "$1"
}

# sam_without_traces WORD…: sam, and of the stack trace of an error the error alone.
sam_without_traces() {
  { sam "$@" 2>&1 >&3 | awk '/^Traceback/ { trace = 1 } !trace || /^Error:/ { print; fflush() }' >&2; } 3>&1
}

# output NAME: one of the stack's outputs; nothing where it has none of this name.
output() {
  quietly aws cloudformation describe-stacks --stack-name "$stack" \
    --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue" --output text >"$scratch/output" || give_up
  cat "$scratch/output"
}

# parameter_type NAME: SecureString, String, or nothing where there is no such parameter; never its value.
parameter_type() {
  if quietly aws ssm get-parameter --name "$1" --query Parameter.Type --output text >"$scratch/type"; then
    cat "$scratch/type"
  elif [[ $complaint != *ParameterNotFound* ]]; then
    give_up
  fi
}

# webhook_policy: for LaunchDarkly, naming this environment alone.
webhook_policy() {
  local project=${PROJECT:-*}
  cat <<END
[
  {
    "effect": "allow",
    "actions": ["*"],
    "resources": ["proj/$project:env/$ENV:flag/*"]
  },
  {
    "effect": "allow",
    "actions": ["*"],
    "resources": ["proj/$project:env/$ENV:segment/*"]
  }
]
END
}
