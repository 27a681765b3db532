//! What the recipes that Freehold knows are by themselves: `nix/apps`, written out as data (`nix/lib/cc-recipes.nix`).
//!
//! No recipe is named in this program. One that is not in the table gets what suits most: `/` answers 200, 301 or 302.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use freehold_rollout::{Gate, Tcp};
use serde::Deserialize;

/// A recipe's own defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Known {
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) compose_files: Vec<String>,
    pub(crate) health_path: Option<String>,
    pub(crate) health_ok: Vec<u16>,
    pub(crate) health_timeout: u32,
    pub(crate) health_body: Option<String>,
    pub(crate) health_tcp: Option<Tcp>,
    pub(crate) probes: Vec<Gate>,
    pub(crate) stateful: bool,
    pub(crate) timeout: u32,
    pub(crate) required_env: Vec<Required>,
    pub(crate) secrets: BTreeMap<String, KnownSecret>,
}

/// A setting that the recipe cannot do without.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Required {
    pub(crate) name: String,
    pub(crate) example: String,
    pub(crate) why: String,
    /// Whether it has to be another name than the app's own.
    #[serde(default)]
    pub(crate) not_domain: bool,
}

/// What is particular about a secret.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct KnownSecret {
    pub(crate) required: bool,
    pub(crate) why: String,
    /// The variable of the `.env` with its version, when the recipe's name for it does not tell.
    #[serde(default)]
    pub(crate) variable: Option<String>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            env: BTreeMap::from([("LETS_ENCRYPT_ENV".to_owned(), String::new())]),
            compose_files: Vec::new(),
            health_path: Some("/".to_owned()),
            health_ok: vec![200, 301, 302],
            health_timeout: 300,
            health_body: None,
            health_tcp: None,
            probes: Vec::new(),
            stateful: false,
            timeout: 600,
            required_env: Vec::new(),
            secrets: BTreeMap::new(),
        }
    }
}

impl Known {
    /// Of a recipe; the usual where nothing is known of it.
    pub(crate) fn of(recipe: &str) -> Self {
        static TABLE: OnceLock<BTreeMap<String, Known>> = OnceLock::new();
        let table = TABLE.get_or_init(|| serde_json::from_str(include_str!("recipes.json")).unwrap_or_default());
        table.get(recipe).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read_and_an_unknown_recipe_has_the_usual() {
        let table: BTreeMap<String, Known> = serde_json::from_str(include_str!("recipes.json")).unwrap();
        // The nineteen, Drone and Traefik.
        assert_eq!(table.len(), 21);
        let ghost = Known::of("ghost");
        assert_eq!((ghost.health_path.as_deref(), ghost.stateful), (Some("/ghost/api/admin/site/"), true));
        assert_eq!(Known::of("mumble").health_path, None);
        assert_eq!(Known::of("wiki").health_ok, [200, 301, 302]);
    }
}
