//! What the commands say while something is missing: why, and the command that mends it.

use super::{STAGING, put_parameter, refused};
use anyhow::Result;
use flagcache_tests::rehearsal::Rehearsal;

const ALL: [&str; 7] = ["deploy", "url", "connect", "invoke", "logs-store", "logs-reader", "destroy"];

#[tokio::test]
async fn where_there_is_no_stack_every_command_says_how_to_make_one() -> Result<()> {
    let rehearsal = Rehearsal::start().await?;
    for target in ["url", "connect", "invoke", "logs-store", "logs-reader"] {
        refused(
            &rehearsal.make(target, STAGING).await?,
            "there is no stack flagcache-staging in account 123456789012, region eu-west-1",
            "make deploy ENV=staging",
        );
    }
    refused(&rehearsal.make("destroy", STAGING).await?, "there is no stack flagcache-staging", "nothing to do");
    Ok(())
}

#[tokio::test]
async fn deploy_wants_the_sdk_key_and_an_environment_that_is_described() -> Result<()> {
    let rehearsal = Rehearsal::start().await?;
    let ran = rehearsal.make("deploy", STAGING).await?;
    refused(&ran, "no SSM parameter /launchdarkly/staging/sdkkey", "aws ssm put-parameter --region eu-west-1");
    refused(&rehearsal.make("deploy", &[("ENV", "qa")]).await?, "says nothing of 'qa'", "write qa for staging");
    put_parameter(&rehearsal, "/launchdarkly/staging/sdkkey", "sdk-local").await?;
    let words = ["dynamodb", "create-table", "--table-name", "flagcache-staging", "--billing-mode", "PAY_PER_REQUEST"];
    let keys =
        ["--attribute-definitions", "AttributeName=a,AttributeType=S", "--key-schema", "AttributeName=a,KeyType=HASH"];
    rehearsal.aws(&[&words[..], &keys[..]].concat()).await?;
    let ran = rehearsal.make("deploy", STAGING).await?;
    refused(&ran, "an earlier one has left it behind", "aws dynamodb delete-table --region eu-west-1");
    Ok(())
}

#[tokio::test]
async fn every_command_refuses_what_names_no_environment() -> Result<()> {
    let rehearsal = Rehearsal::start().await?;
    for target in ALL {
        for environment in ["a_b", "", "../staging", "staging production"] {
            let ran = rehearsal.make(target, &[("ENV", environment)]).await?;
            refused(&ran, &format!("ENV is '{environment}'"), &format!("make {target} ENV=staging"));
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_command_says_what_is_wrong_with_the_way_to_aws() -> Result<()> {
    let rehearsal = Rehearsal::start().await?;
    let nobody = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("AWS_EC2_METADATA_DISABLED", "true")];
    for target in ALL {
        let ran = rehearsal.make(target, &nobody).await?;
        refused(&ran, "there are no AWS credentials", "export AWS_ACCESS_KEY_ID=");
    }
    let ran = rehearsal.make("url", &[("AWS_PROFILE", "nobody")]).await?;
    refused(&ran, "there is no AWS profile 'nobody'", "aws configure --profile nobody");
    let ran = rehearsal.make("url", &[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "")]).await?;
    refused(&ran, "no AWS region is set", "export AWS_REGION=");
    let nowhere = [("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_MAX_ATTEMPTS", "1")];
    let ran = rehearsal.make("url", &nowhere).await?;
    refused(&ran, "AWS cannot be reached", "AWS_ENDPOINT_URL=http://127.0.0.1:1");
    Ok(())
}
