//! From Nix text and installables to outputs in the store.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde_json::Value as Json;

use crate::error::StoreError;
use crate::messages::Progress;
use crate::nix::Nix;
use crate::realise::{RealiseOptions, Target, explain};
use crate::run;

/// What a build came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The derivation; `None` for a path that is none's output.
    pub derivation: Option<String>,
    /// Outputs by name, sorted.
    pub outputs: Vec<(String, String)>,
}

impl Built {
    /// The output `out`, else the first.
    pub fn main_output(&self) -> Option<&str> {
        let out = self.outputs.iter().find(|(name, _)| name == "out");
        out.or_else(|| self.outputs.first()).map(|(_, path)| path.as_str())
    }
}

impl Nix {
    /// Evaluates Nix text to a derivation. `arguments` are JSON, given to it when it is a function of named arguments;
    /// relative paths in it start at `dir`. Text and arguments must hold no secret: they are words of a command line, and the
    /// derivation is readable by everybody.
    ///
    /// # Errors
    /// Nix's own words when the text does not evaluate, or comes to none or several derivations.
    pub fn instantiate(
        &self,
        text: &str,
        arguments: &serde_json::Map<String, Json>,
        dir: &Path,
        stop: &AtomicBool,
    ) -> Result<String, StoreError> {
        let what = "evaluate the expression";
        let mut command = self.command("nix-instantiate");
        command.current_dir(dir).args(["--log-format", "internal-json", "--expr", text]);
        for (name, value) in arguments {
            command.args(["--arg", name, &format!("builtins.fromJSON {}", nix_string(&value.to_string()))]);
        }
        let ended = run::watched(command, what, stop, &mut |_| {})?;
        if !ended.status.success() {
            return Err(run::failure(what, &ended));
        }
        let printed = String::from_utf8_lossy(&ended.stdout);
        match printed.lines().collect::<Vec<_>>().as_slice() {
            [one] => Ok(one.split('!').next().unwrap_or(one).to_owned()),
            several => Err(StoreError::Failed {
                what: what.to_owned(),
                message: format!("it must come to one derivation, not {}", several.len()),
            }),
        }
    }

    /// Builds all outputs of a derivation.
    ///
    /// # Errors
    /// As [`Nix::realise`].
    pub fn build_derivation(
        &self,
        derivation: &str,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Built, StoreError> {
        let target = Target::Outputs { derivation: derivation.to_owned(), outputs: Vec::new() };
        self.realise(&[target], RealiseOptions::default(), stop, progress)?;
        Ok(Built { derivation: Some(derivation.to_owned()), outputs: self.outputs_of(derivation)? })
    }

    /// The derivation behind an installable, without building it.
    ///
    /// # Errors
    /// Nix's own words when it does not evaluate, or comes to none or several derivations.
    pub fn derivation_of(&self, installable: &str, dir: &Path, stop: &AtomicBool) -> Result<String, StoreError> {
        let what = format!("evaluate `{installable}`");
        let mut command = self.command("nix");
        command.current_dir(dir).args(["--extra-experimental-features", "nix-command flakes"]);
        command.args(["path-info", "--derivation", "--log-format", "internal-json", "--", installable]);
        let ended = run::watched(command, &what, stop, &mut |_| {})?;
        if !ended.status.success() {
            return Err(run::failure(&what, &ended));
        }
        let printed = String::from_utf8_lossy(&ended.stdout);
        match printed.lines().collect::<Vec<_>>().as_slice() {
            [one] => Ok((*one).to_owned()),
            several => Err(StoreError::Failed {
                what,
                message: format!("it must come to one derivation, not {}", several.len()),
            }),
        }
    }

    /// Builds what the new command line calls an installable: `.#web`, `/nix/store/….drv^out`.
    ///
    /// # Errors
    /// As [`Nix::realise`], and when it comes to none or several derivations.
    pub fn build_installable(
        &self,
        installable: &str,
        dir: &Path,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Built, StoreError> {
        let what = format!("build `{installable}`");
        let mut command = self.command("nix");
        command.current_dir(dir).args(["--extra-experimental-features", "nix-command flakes"]);
        command.args(["build", "--no-link", "--json", "--log-format", "internal-json", "-v", "--", installable]);
        let ended = run::watched(command, &what, stop, progress)?;
        if !ended.status.success() {
            return Err(explain(&what, &ended));
        }
        let odd = |reason: &str| StoreError::Answer { what: what.clone(), reason: reason.to_owned() };
        let json: Json = serde_json::from_slice(&ended.stdout).map_err(|e| odd(&e.to_string()))?;
        match json.as_array().map(Vec::as_slice) {
            Some([one]) => read_built(one).ok_or_else(|| odd("it lists no outputs")),
            Some(several) => Err(StoreError::Failed {
                what: what.clone(),
                message: format!("it must come to one derivation, not {}", several.len()),
            }),
            None => Err(odd("it is no list")),
        }
    }
}

/// `{ drvPath, outputs: { name: path } }`, or (for a path that is none's output) a plain string or `{ path }`.
fn read_built(json: &Json) -> Option<Built> {
    if let Some(path) = json.as_str().or_else(|| json["path"].as_str()) {
        return Some(Built { derivation: None, outputs: vec![("out".to_owned(), path.to_owned())] });
    }
    let outputs = json["outputs"].as_object()?;
    let mut outputs: Vec<(String, String)> =
        outputs.iter().map(|(name, path)| Some((name.clone(), path.as_str()?.to_owned()))).collect::<Option<_>>()?;
    outputs.sort();
    Some(Built { derivation: json["drvPath"].as_str().map(str::to_owned), outputs })
}

/// A Nix string literal.
fn nix_string(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_a_literal_that_nothing_is_interpolated_into() {
        assert_eq!(nix_string(r#"a "b" ${c} \d"#), r#""a \"b\" \${c} \\d""#);
    }
}
