//! The page as HTML. Everything that is not our own text is escaped by the template engine.

use super::view::View;
use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use std::sync::OnceLock;

pub(super) const STYLE: &str = include_str!("style.css");
pub(super) const SCRIPT: &str = include_str!("script.js");
pub(super) const ICON: &str = include_str!("icon.svg");

/// The whole page.
pub(super) fn page(view: &View) -> Result<String, minijinja::Error> {
    render("page.html", view)
}

/// Its main part, which is what changes.
pub(super) fn board(view: &View) -> Result<String, minijinja::Error> {
    render("board.html", view)
}

fn render(template: &str, view: &View) -> Result<String, minijinja::Error> {
    environment()?.get_template(template)?.render(Serde(view))
}

fn environment() -> Result<&'static Environment<'static>, minijinja::Error> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    if let Some(environment) = ENVIRONMENT.get() {
        return Ok(environment);
    }
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_template("board.html", include_str!("board.html"))?;
    environment.add_template("page.html", include_str!("page.html"))?;
    Ok(ENVIRONMENT.get_or_init(|| environment))
}
