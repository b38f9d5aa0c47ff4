//! `template.yaml` held against the code that it deploys.
//!
//! What a policy allows is what the code calls, what a variable is named is what the code reads, and what a timeout
//! leaves is what a sync needs: each is read out of the sources, so that neither can change without the other.

#![expect(clippy::unwrap_used, reason = "a test")]

use launchdarkly_server_sdk_dynamodb::layout::{KEY, NAMESPACE};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use yaml_rust2::{Yaml, YamlLoader};

/// API Gateway gives up an HTTP API's integration after this.
const GATEWAY_MS: u64 = 30_000;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// A file's code without its tests.
fn code(path: &str) -> String {
    read(path).split("\n#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned()
}

fn template() -> Yaml {
    YamlLoader::load_from_str(&read("template.yaml")).unwrap().remove(0)
}

fn function<'a>(template: &'a Yaml, name: &str) -> &'a Yaml {
    &template["Resources"][name]["Properties"]
}

fn strings(list: &Yaml) -> BTreeSet<String> {
    list.as_vec().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// The statements of a function's policy; one that stands under a condition is taken for there.
fn statements(function: &Yaml) -> Vec<Yaml> {
    let all = function["Policies"][0]["Statement"].as_vec().unwrap();
    all.iter().map(|statement| if statement.is_array() { statement[1].clone() } else { statement.clone() }).collect()
}

fn allowed(function: &Yaml) -> BTreeSet<String> {
    statements(function).iter().flat_map(|statement| strings(&statement["Action"])).collect()
}

/// Requests of the AWS SDK and parts of a transaction, with the action that IAM asks about for each.
const CALLS: &[(&str, &str)] = &[
    (".batch_get_item()", "dynamodb:BatchGetItem"),
    (".batch_write_item()", "dynamodb:BatchWriteItem"),
    (".create_table()", "dynamodb:CreateTable"),
    (".delete_item()", "dynamodb:DeleteItem"),
    (".describe_table()", "dynamodb:DescribeTable"),
    (".get_item()", "dynamodb:GetItem"),
    (".put_item()", "dynamodb:PutItem"),
    (".query()", "dynamodb:Query"),
    (".scan()", "dynamodb:Scan"),
    (".update_item()", "dynamodb:UpdateItem"),
    ("ConditionCheck::builder()", "dynamodb:ConditionCheckItem"),
    ("Delete::builder()", "dynamodb:DeleteItem"),
    ("Put::builder()", "dynamodb:PutItem"),
    ("Update::builder()", "dynamodb:UpdateItem"),
    (".get_parameter()", "ssm:GetParameter"),
    (".get_parameters()", "ssm:GetParameters"),
    (".get_parameters_by_path()", "ssm:GetParametersByPath"),
];

fn calls_in(sources: &[&str]) -> BTreeSet<String> {
    let text: String = sources.iter().map(|path| code(path)).collect();
    CALLS.iter().filter(|(call, _)| text.contains(call)).map(|(_, action)| (*action).to_owned()).collect()
}

const TABLE: &[&str] = &["shared/dynamodb-store/src/table/batches.rs", "shared/dynamodb-store/src/table/dynamodb.rs"];
const SECRETS: &[&str] = &["shared/aws/src/secrets.rs"];

fn is_write(action: &str) -> bool {
    ["Put", "Delete", "Update", "Check", "Create", "Write"].iter().any(|word| action.contains(word))
}

/// A whole request, which IAM asks about by its own name.
fn is_batch(action: &str) -> bool {
    action.contains("BatchWrite")
}

#[test]
fn store_may_do_what_its_code_calls_and_nothing_else() {
    let mut expected = calls_in(&[TABLE, SECRETS].concat());
    // SSM asks for this in the caller's name where the parameter's key is not AWS's own.
    expected.insert("kms:Decrypt".to_owned());
    assert_eq!(allowed(function(&template(), "Store")), expected);
}

#[test]
fn reader_may_read_the_table_and_nothing_else() {
    let reading: BTreeSet<_> = calls_in(TABLE).into_iter().filter(|action| !is_write(action)).collect();
    assert_eq!(reading.len(), 3);
    assert_eq!(allowed(function(&template(), "Reader")), reading);
}

#[test]
fn no_other_code_talks_to_the_table_or_to_ssm() {
    let mut looked_at = 0;
    for (folder, exceptions) in [("shared/dynamodb-store/src", TABLE), ("shared/aws/src", SECRETS)] {
        let mut open = vec![root().join(folder)];
        while let Some(folder) = open.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                if path.is_dir() {
                    open.push(path);
                } else if !exceptions.contains(&name.as_str()) && !name.contains("test") {
                    assert_eq!(calls_in(&[&name]), BTreeSet::new(), "{name}");
                    looked_at += 1;
                }
            }
        }
    }
    assert!(looked_at > 20, "only {looked_at} files were found");
}

#[test]
fn single_writes_are_allowed_inside_transactions_alone() {
    let writing: Vec<_> = statements(function(&template(), "Store"))
        .into_iter()
        .filter(|statement| strings(&statement["Action"]).iter().any(|action| is_write(action) && !is_batch(action)))
        .collect();
    assert_eq!(writing.len(), 1);
    assert!(strings(&writing[0]["Action"]).iter().all(|action| is_write(action)), "reads are not confined");
    let operation = &writing[0]["Condition"]["ForAnyValue:StringEquals"]["dynamodb:EnclosingOperation"];
    assert_eq!(strings(operation), BTreeSet::from(["TransactWriteItems".to_owned()]));
}

#[test]
fn policies_name_what_they_are_for() {
    for name in ["Store", "Reader"] {
        for statement in statements(function(&template(), name)) {
            let resources = statement["Resource"]
                .as_str()
                .map_or_else(|| strings(&statement["Resource"]), |resource| BTreeSet::from([resource.to_owned()]));
            assert!(resources.iter().all(|resource| !resource.contains('*')), "{name}: {resources:?}");
        }
    }
}

fn variables(function: &Yaml) -> BTreeSet<String> {
    function["Environment"]["Variables"]
        .as_hash()
        .unwrap()
        .keys()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

/// The names in upper case that a source mentions as a whole string.
fn named_in(path: &str) -> BTreeSet<String> {
    let is_name = |text: &&str| !text.is_empty() && text.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    code(path).split('"').filter(is_name).map(str::to_owned).collect()
}

#[test]
fn every_variable_of_the_template_is_one_that_the_function_reads() {
    let template = template();
    let shared = variables(&template["Globals"]["Function"]);
    let everywhere = BTreeSet::from(["LOG_LEVEL".to_owned()]);
    let mut store = named_in("functions/store/src/config.rs");
    store.extend(["LAUNCHDARKLY_SDK_KEY", "LAUNCHDARKLY_WEBHOOK_SECRET"].map(|name| format!("{name}_PARAMETER")));
    store.insert("LAUNCHDARKLY_BASE_URI".to_owned());
    for (name, read) in [("Store", store), ("Reader", named_in("shared/reader/src/config.rs"))] {
        let set: BTreeSet<_> = shared.union(&variables(function(&template, name))).cloned().collect();
        let unknown: Vec<_> = set.difference(&read).filter(|name| !everywhere.contains(*name)).collect();
        assert!(unknown.is_empty(), "{name} is given variables that it does not read: {unknown:?}");
        assert!(set.contains("LAUNCHDARKLY_DYNAMODB_TABLE"), "{name} is given no table");
    }
}

#[test]
fn no_secret_reaches_the_stack() {
    let text = read("template.yaml");
    for line in text.lines().filter(|line| line.contains("SDK_KEY") || line.contains("SECRET")) {
        assert!(line.contains("_PARAMETER: !Sub /launchdarkly/${Environment}/"), "{line}");
    }
    assert!(!text.contains("resolve:ssm") && !text.contains("AWS::SSM::Parameter::Value"));
}

/// A constant of the sync, such as `const MAX_LEASE_MS: u64 = 15 * 60 * 1_000;`.
fn constant(path: &str, name: &str) -> u64 {
    let text = code(path);
    let line = text.lines().find(|line| line.contains(&format!("const {name}:"))).unwrap();
    let value = line.split('=').nth(1).unwrap().trim().trim_end_matches(';');
    let seconds = value.strip_prefix("Duration::from_secs(").map(|rest| rest.trim_end_matches(')'));
    let product =
        |text: &str| text.split('*').map(|factor| factor.trim().replace('_', "").parse::<u64>().unwrap()).product();
    seconds.map_or_else(|| product(value), |seconds| product(seconds) * 1000)
}

#[test]
fn stores_time_fits_its_lease_and_its_second_looks() {
    let template = template();
    let timeout_ms = u64::try_from(function(&template, "Store")["Timeout"].as_i64().unwrap()).unwrap() * 1000;
    let lease_ms = constant("shared/dynamodb-store/src/sync/write.rs", "MAX_LEASE_MS");
    let whole_ms = constant("shared/dynamodb-store/src/sync/driver.rs", "WHOLE_WINDOW");
    let reserve_ms = constant("shared/dynamodb-store/src/sync/driver.rs", "RESERVE_MS");
    assert_eq!((lease_ms, whole_ms, reserve_ms), (900_000, 30_000, 1_500), "the constants were misread");
    assert!(timeout_ms <= lease_ms, "a function could outlive its own lease");
    assert!(timeout_ms > whole_ms + reserve_ms, "a whole sync's window is cut short");
    let window = u64::try_from(template["Parameters"]["FreshnessWindow"]["MaxValue"].as_i64().unwrap()).unwrap();
    assert!(window + reserve_ms < GATEWAY_MS, "LaunchDarkly would hear of a timeout before the window ends");
}

#[test]
fn the_defaults_are_the_codes_own() {
    let parameters = &template()["Parameters"];
    let window = constant("functions/store/src/config.rs", "DEFAULT_FRESHNESS_WINDOW");
    let ttl = constant("shared/reader/src/config.rs", "DEFAULT_CACHE_TTL");
    assert_eq!(parameters["FreshnessWindow"]["Default"].as_i64(), i64::try_from(window).ok());
    assert_eq!(parameters["CacheTtl"]["Default"].as_i64(), i64::try_from(ttl / 1000).ok());
}

#[test]
fn the_table_has_the_keys_of_the_official_layout() {
    let table = &template()["Resources"]["Table"]["Properties"].clone();
    let of = |list: &str, what: &str| -> Vec<(String, String)> {
        let entries = table[list].as_vec().unwrap().iter();
        let text = |entry: &Yaml, field: &str| entry[field].as_str().unwrap().to_owned();
        entries.map(|entry| (text(entry, "AttributeName"), text(entry, what))).collect()
    };
    let pair = |name: &str, what: &str| (name.to_owned(), what.to_owned());
    assert_eq!(of("KeySchema", "KeyType"), [pair(NAMESPACE, "HASH"), pair(KEY, "RANGE")]);
    assert_eq!(of("AttributeDefinitions", "AttributeType"), [pair(NAMESPACE, "S"), pair(KEY, "S")]);
    assert_eq!(table["BillingMode"].as_str(), Some("PAY_PER_REQUEST"));
    assert_eq!(table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"].as_bool(), Some(true));
    assert_eq!(table["SSESpecification"]["SSEEnabled"].as_bool(), Some(true));
}

#[test]
fn alarms_watch_metrics_that_store_writes() {
    let template = template();
    let report = code("functions/store/src/report.rs");
    let resources = template["Resources"].as_hash().unwrap().values();
    let alarms: Vec<_> = resources.filter(|it| it["Type"].as_str() == Some("AWS::CloudWatch::Alarm")).collect();
    assert!(alarms.len() >= 4);
    let ours = alarms.iter().filter(|it| it["Properties"]["Namespace"].as_str() == Some("flagcache"));
    let mut metrics: BTreeSet<_> = ours.map(|it| it["Properties"]["MetricName"].as_str().unwrap().to_owned()).collect();
    let dashboard = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"][0].as_str().unwrap();
    let shown = dashboard.split("[\"flagcache\", \"").skip(1);
    metrics.extend(shown.map(|rest| rest.split('"').next().unwrap().to_owned()));
    for metric in metrics {
        assert!(report.contains(&format!("\"{metric}\"")), "store writes no metric {metric}");
    }
}

#[test]
fn both_environments_are_described() {
    let text = read("samconfig.toml");
    for environment in ["staging", "production"] {
        assert!(text.contains(&format!("[{environment}.deploy.parameters]")));
        assert!(text.contains(&format!("stack_name = \"flagcache-{environment}\"")));
        assert!(text.contains(&format!("\"Environment={environment}\"")));
    }
}
