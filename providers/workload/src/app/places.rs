//! Where an app's `.env`, its record and its recipe are: of the provider's settings, else where `freehold app` looks.

use std::path::PathBuf;

use freehold_app::{AppError, Known, Places};
use freehold_model::ErrorKind;
use freehold_provider::sdk::{Context, Failure};
use freehold_recipe_source::{AbraDir, Settings};

/// The places that are said.
pub(crate) fn places(ctx: &Context) -> Result<Places, Failure> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let place = |config: &str, name: &str, usual: &str| {
        let said = ctx.config_text(config).map(|path| ctx.resolve(&path));
        let path = said.or_else(|| variable(name).map(PathBuf::from)).unwrap_or_else(|| PathBuf::from(usual));
        std::path::absolute(&path).unwrap_or(path)
    };
    let said = ctx.config_text("abraDir").map(|path| ctx.resolve(&path).into_os_string());
    let abra = AbraDir::of_environment(said.or_else(|| variable("ABRA_DIR")).as_deref(), variable("HOME").as_deref());
    let abra = abra.ok_or_else(|| {
        Failure::config("there is neither ABRA_DIR nor HOME").hint("set ABRA_DIR, or `config.abraDir` of the provider")
    })?;
    let state = place("appsDir", "FREEHOLD_APPS", "/var/lib/freehold/apps");
    let alerts = place("alertsDir", "FREEHOLD_ALERTS", "/var/lib/coop-cloud/alerts");
    let mut source = Settings::new(state.join("recipes"), abra.path());
    let base = variable("FREEHOLD_RECIPE_BASE").and_then(|base| base.into_string().ok());
    source.base = ctx.config_text("recipeBase").or(base);
    source.stop = ctx.stop();
    Ok(Places { abra, state, alerts, source, stop: ctx.stop(), known: Known::default() })
}

/// What went wrong with an app, for the one who applies.
pub(crate) fn failed(error: &AppError) -> Failure {
    let failure = match std::error::Error::source(error) {
        Some(source) => Failure::new(error.kind(), error.to_string()).because(source),
        None => Failure::new(error.kind(), error.to_string()),
    };
    match (error.hint(), error) {
        (Some(hint), _) => failure.hint(hint),
        (None, AppError::File { .. }) if error.kind() == ErrorKind::Host => {
            failure.hint("FREEHOLD_APPS or `config.appsDir` of the provider say where records and copies of data lie")
        }
        _ => failure,
    }
}
