//! Freehold, OpenTofu and Terraform behind one face: write a deployment of n resources, plan it, apply it, count what is recorded.
//!
//! To add a program: a variant of [`Kind`], and its arms below.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::cargo::cargo;

/// The same deployment for each program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Resources that do nothing and know nothing of each other.
    Flat,
    /// Half of them each refer to one of the other half.
    Pairs,
    /// Files in `out/`, so that the world can be counted.
    Files,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Freehold,
    Terraform,
}

/// One program that can be measured, or the reason why not.
pub(super) struct Tool {
    /// Name and version.
    pub(super) name: String,
    kind: Kind,
    program: Result<PathBuf, String>,
    plugins: PathBuf,
}

/// What the program remembers after a kill.
pub(super) struct Remembered {
    pub(super) records: usize,
    pub(super) open_intents: usize,
}

/// Freehold alone: `FREEHOLD_BIN`, or what is built now from this checkout.
pub(super) fn own(root: &Path) -> Tool {
    let program = freehold(root);
    let version = program.as_deref().ok().and_then(version_of);
    let name = version.map_or_else(|| "freehold".to_owned(), |version| format!("freehold {version}"));
    Tool { name, kind: Kind::Freehold, program, plugins: PathBuf::new() }
}

/// Freehold first, then its peers.
pub(super) fn all(root: &Path) -> Outcome<Vec<Tool>> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let plugins = cache.or(home).ok_or("neither XDG_CACHE_HOME nor HOME is set")?.join("freehold/interop/bin");
    let built = plugins.join("tofu");
    let tofu =
        if built.is_file() { Ok(built) } else { on_path("tofu").ok_or("run scripts/interop-tools tofu".to_owned()) };
    let terraform = on_path("terraform").ok_or("not on the PATH".to_owned());
    let tool = |name: &str, kind, program: Result<PathBuf, String>| {
        let version = program.as_deref().ok().and_then(version_of);
        let name = version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}"));
        Tool { name, kind, program, plugins: plugins.clone() }
    };
    Ok(vec![own(root), tool("tofu", Kind::Terraform, tofu), tool("terraform", Kind::Terraform, terraform)])
}

impl Tool {
    /// The reason why it cannot be measured, if there is one.
    pub(super) fn missing(&self, shape: Shape) -> Option<String> {
        if let Err(reason) = &self.program {
            return Some(reason.clone());
        }
        let needs_plugin = self.kind == Kind::Terraform && shape == Shape::Files;
        let plugin = self.plugins.join("terraform-provider-local");
        (needs_plugin && !plugin.is_file()).then(|| "run scripts/interop-tools terraform-provider-local".to_owned())
    }

    /// Writes the deployment into an empty directory.
    pub(super) fn write(&self, directory: &Path, shape: Shape, count: usize) -> Outcome<()> {
        let (file, text) = match self.kind {
            Kind::Freehold => ("freehold.nix", nix(shape, count)),
            Kind::Terraform => ("main.tf", hcl(shape, count)),
        };
        let overrides = format!(
            "provider_installation {{\n  dev_overrides {{\n    \"hashicorp/local\" = \"{}\"\n  }}\n  direct {{}}\n}}\n",
            self.plugins.display()
        );
        write(&directory.join(file), &text)?;
        if self.kind == Kind::Terraform {
            write(&directory.join("cli.tfrc"), &overrides)?;
        }
        Ok(())
    }

    /// Writes a deployment for Freehold that Nix generates: without the cost of reading thousands of lines.
    pub(super) fn write_generated(&self, directory: &Path, shape: Shape, count: usize) -> Outcome<()> {
        write(&directory.join("freehold.nix"), &nix_generated(shape, count))
    }

    /// Makes everything.
    pub(super) fn apply(&self, directory: &Path) -> Command {
        match self.kind {
            Kind::Freehold => self.command(directory, &["apply", "--yes"]),
            Kind::Terraform => self.command(directory, &["apply", "-auto-approve", "-input=false", "-no-color"]),
        }
    }

    /// Plans; what is there is read unless `refresh` is off.
    pub(super) fn plan(&self, directory: &Path, refresh: bool) -> Command {
        match (self.kind, refresh) {
            (Kind::Freehold, true) => self.command(directory, &["plan", "--detailed-exitcode"]),
            (Kind::Freehold, false) => self.command(directory, &["plan", "--detailed-exitcode", "--no-refresh"]),
            // With detailed exit codes a plan that is not empty counts as a failure.
            (Kind::Terraform, refresh) => {
                let refresh = format!("-refresh={refresh}");
                self.command(directory, &["plan", "-detailed-exitcode", "-input=false", "-no-color", &refresh])
            }
        }
    }

    /// How many resources are in its state.
    pub(super) fn remembered(&self, directory: &Path) -> Outcome<Remembered> {
        match self.kind {
            Kind::Freehold => {
                let list = self.command(directory, &["state", "list", "--json"]).output();
                let list = list.map_err(|error| format!("cannot run freehold: {error}"))?;
                let list: serde_json::Value = serde_json::from_slice(&list.stdout)
                    .map_err(|_| format!("freehold state list: {}", String::from_utf8_lossy(&list.stderr)))?;
                let count = |name: &str| list[name].as_array().map_or(0, Vec::len);
                Ok(Remembered { records: count("records"), open_intents: count("intents") })
            }
            Kind::Terraform => {
                let text = std::fs::read(directory.join("terraform.tfstate")).unwrap_or_default();
                let state: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
                let records = state["resources"].as_array().map_or(0, Vec::len);
                Ok(Remembered { records, open_intents: 0 })
            }
        }
    }

    fn command(&self, directory: &Path, arguments: &[&str]) -> Command {
        let program = self.program.as_deref().unwrap_or(Path::new(""));
        let home = directory.join("home");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(directory)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .env("HOME", &home)
            .env("TF_CLI_CONFIG_FILE", directory.join("cli.tfrc"))
            .env("CHECKPOINT_DISABLE", "1")
            .env("NIX_STORE_DIR", home.join("nix/store"))
            .env("NIX_STATE_DIR", home.join("nix/var/nix"))
            .env("NIX_LOG_DIR", home.join("nix/var/log/nix"))
            .env("NIX_CONFIG", "build-users-group =\nsubstituters =\nsandbox = false\n");
        let _ = std::fs::create_dir_all(&home);
        command
    }
}

fn freehold(root: &Path) -> Result<PathBuf, String> {
    if let Some(binary) = std::env::var_os("FREEHOLD_BIN") {
        return Ok(binary.into());
    }
    let build = ["build", "--release", "--quiet", "--package", "freehold-cli", "--bin", "freehold"];
    let status = cargo(root).args(build).status().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err(format!("freehold does not build: {status}"));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release/freehold"))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// The last word of the first line of `PROGRAM version` or `--version`.
fn version_of(program: &Path) -> Option<String> {
    let output = ["--version", "version"].iter().find_map(|word| {
        let output = Command::new(program)
            .arg(word)
            .env("CHECKPOINT_DISABLE", "1")
            .env_remove("TF_CLI_CONFIG_FILE")
            .output()
            .ok()?;
        (output.status.success() && !output.stdout.is_empty()).then_some(output.stdout)
    })?;
    let text = String::from_utf8_lossy(&output).into_owned();
    let word = text.lines().next()?.split_whitespace().last()?;
    Some(word.trim_start_matches('v').trim_end_matches("-dev").to_owned())
}

fn nix(shape: Shape, count: usize) -> String {
    let mut members = String::new();
    for number in 0..count {
        let (kind, inputs) = match shape {
            Shape::Pairs if number % 2 == 1 => {
                ("memo", format!("inputs.initialize_with = members.r{}.outputs.value;", number - 1))
            }
            Shape::Flat | Shape::Pairs => ("memo", format!("inputs.initialize_with = \"{number}\";")),
            Shape::Files => ("file", format!("inputs = {{ path = \"out/{number}\"; contents = \"{number}\"; }};")),
        };
        let _ = writeln!(members, "    r{number} = {{ type = providers.local.{kind}; {inputs} }};");
    }
    format!(
        "{{ freehold, ... }}:\nfreehold.lib.mkRoot {{ modules = [ ({{ providers, members, ... }}: {{\n  members = {{\n{members}  }};\n}}) ]; }}\n"
    )
}

fn nix_generated(shape: Shape, count: usize) -> String {
    let member = match shape {
        Shape::Flat => "{ type = providers.local.memo; inputs.initialize_with = toString n; }",
        Shape::Pairs => {
            "{ type = providers.local.memo; inputs.initialize_with =\n      \
             if n - 2 * (n / 2) == 1 then members.\"r${toString (n - 1)}\".outputs.value else toString n; }"
        }
        Shape::Files => {
            "{ type = providers.local.file; inputs = { path = \"out/${toString n}\"; contents = toString n; }; }"
        }
    };
    format!(
        "{{ freehold, ... }}:\nfreehold.lib.mkRoot {{ modules = [ ({{ providers, members, ... }}: {{\n  \
         members = builtins.listToAttrs (builtins.genList (n: {{\n    name = \"r${{toString n}}\";\n    \
         value = {member};\n  }}) {count});\n}}) ]; }}\n"
    )
}

fn hcl(shape: Shape, count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        let (kind, body) = match shape {
            Shape::Pairs if number % 2 == 1 => {
                ("terraform_data", format!("input = terraform_data.r{}.output", number - 1))
            }
            Shape::Flat | Shape::Pairs => ("terraform_data", format!("input = \"{number}\"")),
            Shape::Files => ("local_file", format!("filename = \"out/{number}\"\n  content = \"{number}\"")),
        };
        let _ = writeln!(text, "resource \"{kind}\" \"r{number}\" {{\n  {body}\n}}");
    }
    text
}

fn write(path: &Path, text: &str) -> Outcome<()> {
    std::fs::write(path, text).map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_of_a_pair_refers_to_the_first() {
        assert!(hcl(Shape::Pairs, 2).contains("input = terraform_data.r0.output"));
        assert!(nix(Shape::Pairs, 2).contains("members.r0.outputs.value"));
        assert!(!nix(Shape::Flat, 2).contains("outputs"));
        assert!(nix_generated(Shape::Pairs, 2).contains(r#"members."r${toString (n - 1)}".outputs.value"#));
    }
}
