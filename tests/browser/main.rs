//! The flag board in a real browser: mouse, keyboard, assistive technology, phone, light and dark.
//!
//! Needs Chromium and its driver, which `install` beside this file puts on the machine. Run with
//! `cargo test -p flagcache-tests --features interop --test browser`
//! after `cargo build --bins`. With `FLAGCACHE_SCREENSHOT=FILE` the picture of
//! the README is taken anew (`make screenshot`).

mod driver;

use anyhow::{Context, Result, ensure};
use driver::{Browser, TAB};
use flagcache_tests::local_up::LocalUp;
use serde_json::json;

/// The cell of a flag in a column.
fn cell(flag: &str, column: &str) -> String {
    format!("[data-flag=\"{flag}\"] [data-column=\"{column}\"]")
}

async fn stage() -> Result<(LocalUp, Browser)> {
    let up = LocalUp::start(&[]).await?;
    let browser = Browser::open(&up.url("flag board")?).await?;
    Ok((up, browser))
}

#[tokio::test]
async fn a_click_on_a_switch_runs_through_every_column() -> Result<()> {
    let (_up, browser) = stage().await?;
    assert!(browser.text(&cell("sample-flag", "reader")).await?.starts_with("false"));

    browser.click("#flag-sample-flag").await?;
    browser.wait_for_text(".news", "sample-flag is on, and readers have it").await?;

    for (column, expected) in [
        ("webhook", "arrived: delivered, 200 signed"),
        ("store", "arrived: updated, 1 written fresh +"),
        ("table", "arrived: on v2 +"),
        ("reader", "arrived: true fallthrough +"),
    ] {
        let text = browser.text(&cell("sample-flag", column)).await?;
        assert!(text.starts_with(expected) && text.ends_with('s'), "{column}: {text}");
    }
    assert!(browser.text("thead [data-column=\"table\"]").await?.contains("generation 2"));
    assert!(browser.text("thead [data-column=\"store\"]").await?.contains("updated, 1 written by webhook"));
    browser.ensure_quiet().await
}

#[tokio::test]
async fn a_change_that_is_made_elsewhere_is_seen_without_a_click() -> Result<()> {
    let (up, browser) = stage().await?;
    let url = format!("{}/api/v2/flags/default/sample-flag", up.url("LaunchDarkly")?);
    let patch = json!([{"op": "replace", "path": "/environments/staging/on", "value": true}]);
    let request = local::http_client().patch(url).header("authorization", "api-local").body(patch.to_string());
    assert_eq!(request.send().await?.status(), 200);
    browser.wait_for_text(&cell("sample-flag", "reader"), "true").await?;
    browser.wait_for("return document.querySelector('#flag-sample-flag').ariaChecked === 'true'").await?;
    browser.ensure_quiet().await
}

#[tokio::test]
async fn a_keyboard_is_enough() -> Result<()> {
    let (_up, browser) = stage().await?;
    let mut visited = Vec::new();
    while visited.last().is_none_or(|id| id != "flag-sample-flag") {
        ensure!(visited.len() < 50, "the switch is not reached by Tab: {visited:?}");
        browser.press(TAB).await?;
        let active = "const { id } = document.activeElement; \
                      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement); \
                      return [id, outlineStyle, outlineWidth]";
        let active = browser.run(active).await?;
        assert_eq!((&active[1], &active[2]), (&json!("solid"), &json!("2px")), "{active}: the focus is to be seen");
        visited.push(active[0].as_str().unwrap_or_default().to_owned());
    }
    for id in ["fault-stale-answers", "fault-lost-webhooks", "fault-launchdarkly-down", "sync", "filter"] {
        assert!(visited.iter().any(|visited| visited == id), "{id} in {visited:?}");
    }
    for (key, reader) in [(" ", "true"), ("\u{e007}", "false")] {
        browser.press(key).await?;
        browser.wait_for_text(&cell("sample-flag", "reader"), reader).await?;
        assert_eq!(browser.run("return document.activeElement.id").await?, "flag-sample-flag", "the focus stays");
    }
    browser.ensure_quiet().await
}

#[tokio::test]
async fn assistive_technology_is_told_what_things_are() -> Result<()> {
    let (_up, browser) = stage().await?;
    let announced = async |selector: &str| browser.announced(selector).await;
    assert_eq!(announced("#flag-sample-flag").await?, ("switch".to_owned(), "sample-flag".to_owned()));
    assert_eq!(announced("#fault-lost-webhooks").await?, ("switch".to_owned(), "Lost webhooks".to_owned()));
    assert_eq!(announced("#sync").await?, ("button".to_owned(), "Run the scheduled sync".to_owned()));
    assert_eq!(announced("#filter").await?, ("searchbox".to_owned(), "Filter flags".to_owned()));
    assert_eq!(announced(".news").await?.0, "status");
    for width in [1280, 360] {
        browser.resize(width, 800).await?;
        assert_eq!(announced("table").await?.0, "table", "at {width} px");
        assert_eq!(announced(&cell("sample-flag", "reader")).await?.0, "cell", "at {width} px");
    }
    assert_eq!(browser.run("return document.documentElement.lang").await?, "en");
    browser.ensure_quiet().await
}

#[tokio::test]
async fn a_lost_webhook_leaves_a_flag_behind_until_the_scheduled_sync_heals_it() -> Result<()> {
    let (_up, browser) = stage().await?;
    browser.click("#fault-lost-webhooks").await?;
    browser.wait_for_text("thead [data-column=\"webhook\"]", "all are lost").await?;
    browser.click("#flag-sample-flag").await?;
    browser.wait_for_text(".news", "sample-flag is on, but the table does not have it: webhook lost").await?;
    assert_eq!(browser.text(".agreement").await?, "1 flag is behind");
    assert_eq!(browser.text(&cell("sample-flag", "table")).await?, "behind: off still v1");
    assert_eq!(browser.text(&cell("sample-flag", "reader")).await?, "behind: false still v1");

    browser.click("#sync").await?;
    browser.wait_for_text(".news", "The scheduled sync: updated, 1 written. Every place agrees.").await?;
    assert!(browser.text(&cell("sample-flag", "reader")).await?.starts_with("arrived: true"));
    assert!(browser.text("thead [data-column=\"store\"]").await?.contains("by schedule"));
    browser.ensure_quiet().await
}

#[tokio::test]
async fn an_outage_and_a_forgery_leave_the_table_as_it_is() -> Result<()> {
    let (_up, browser) = stage().await?;
    for (fault, status) in [("launchdarkly-down", "502"), ("forged-webhooks", "401")] {
        browser.click(&format!("#fault-{fault}")).await?;
        browser.click("#flag-sample-flag").await?;
        browser.wait_for_text(&cell("sample-flag", "webhook"), &format!("delivered, {status}")).await?;
        browser.wait_for_text(&cell("sample-flag", "table"), "behind: ").await?;
        browser.click(&format!("#fault-{fault}")).await?;
        browser.click("#sync").await?;
        browser.wait_for_text(".agreement", "Every place agrees").await?;
    }
    browser.ensure_quiet().await
}

#[tokio::test]
async fn a_stale_answer_is_waited_out_and_seen_healing() -> Result<()> {
    let (_up, browser) = stage().await?;
    browser.click("#fault-stale-answers").await?;
    browser.click("#flag-sample-flag").await?;
    browser.wait_for_text(&cell("sample-flag", "store"), "on its way: at work").await?;
    browser.click("#fault-stale-answers").await?;
    browser.wait_for_text(&cell("sample-flag", "store"), "updated, 1 written").await?;
    browser.wait_for_text(".agreement", "Every place agrees").await?;
    browser.ensure_quiet().await
}

/// The lowest contrast between a text and what is behind it, and whose it is.
const LOWEST_CONTRAST: &str = "
    const channel = (c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const parts = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const behind = (element) => {
        for (; element; element = element.parentElement) {
            const color = parts(getComputedStyle(element).backgroundColor);
            if (color.length === 3 || color[3] === 1) return color;
        }
    };
    const texts = [...document.body.querySelectorAll('*')].filter((element) =>
        element.checkVisibility() && !element.disabled && element.className !== 'unseen' &&
        [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()));
    const found = texts.map((element) => {
        const pair = [parts(getComputedStyle(element).color), behind(element)].map(luminance).sort((a, b) => b - a);
        return [(pair[0] + 0.05) / (pair[1] + 0.05), element.className + ': ' + element.textContent.trim()];
    });
    return found.sort((a, b) => a[0] - b[0])[0];";

#[tokio::test]
async fn it_is_legible_in_light_and_dark_from_a_phone_to_a_wide_screen() -> Result<()> {
    let (_up, browser) = stage().await?;
    browser.click("#flag-SAMPLE_API_URL").await?;
    browser.wait_for_text(".news", "readers have it").await?;
    browser.click("#fault-lost-webhooks").await?;
    browser.click("#flag-theme").await?;
    browser.wait_for_text(".news", "webhook lost").await?;
    let mut papers = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await?;
        for width in [360, 768, 1280, 1920] {
            browser.resize(width, 900).await?;
            let needed = browser.run("return document.documentElement.scrollWidth").await?;
            assert_eq!(needed, width, "nothing is to be scrolled sideways");
            let lowest = browser.run(LOWEST_CONTRAST).await?;
            // WCAG 2.2, success criterion 1.4.3.
            assert!(lowest[0].as_f64().is_some_and(|contrast| contrast >= 4.5), "{scheme}, {width} px: {lowest}");
        }
        papers.push(browser.run("return getComputedStyle(document.body).backgroundColor").await?);
    }
    assert_ne!(papers[0], papers[1]);
    browser.ensure_quiet().await
}

/// Takes the README's picture, where a file for it is named.
#[tokio::test]
async fn the_picture_of_the_readme_can_be_taken() -> Result<()> {
    let up = LocalUp::start(&["--companions"]).await?;
    let browser = Browser::open(&up.url("flag board")?).await?;
    browser.prefer("light").await?;
    browser.wait_for_text(&cell("SAMPLE_APP_URL", "env-file"), "https://app-api.example.com").await?;
    browser.wait_for_text(&cell("SAMPLE_APP_URL", "prefork"), "2 workers").await?;
    for flag in ["sample-flag", "SAMPLE_APP_URL"] {
        browser.click(&format!("#flag-{flag}")).await?;
        browser.wait_for_text(".news", &format!("{flag} is on, and readers have it")).await?;
        browser.wait_for_text(&cell(flag, "prefork"), "arrived").await?;
    }
    browser.wait_for_text(&cell("SAMPLE_APP_URL", "env-file"), "arrived").await?;
    browser.click("#fault-lost-webhooks").await?;
    browser.click("#flag-theme").await?;
    browser.wait_for_text(".news", "theme is off, but the table does not have it").await?;
    // Neither a focus ring nor a hovered button belongs into it.
    browser.run("document.activeElement.blur()").await?;
    let height = browser.run("return document.documentElement.scrollHeight").await?;
    let height = height.as_u64().context("failed to measure the page")?;
    browser.resize(1280, u32::try_from(height)?).await?;
    let picture = browser.picture().await?;
    assert!(picture.starts_with(b"\x89PNG") && picture.len() < 300 * 1024, "{} bytes", picture.len());
    if let Some(file) = std::env::var_os("FLAGCACHE_SCREENSHOT") {
        std::fs::write(file, picture)?;
    }
    browser.ensure_quiet().await
}
