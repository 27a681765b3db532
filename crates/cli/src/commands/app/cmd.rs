//! `freehold app cmd`: runs a function of the recipe's abra.sh in a service, or here.
//!
//! The script goes along with the command: nothing is written into the container. abra's own variables are set: `TARGET`, `APP_NAME`,
//! `STACK_NAME`.

use std::io::IsTerminal as _;
use std::process::Command;

use freehold_app::{App, container_of};
use freehold_model::limits;
use freehold_swarm::Docker;

use super::Site;
use super::new::composed;
use crate::exit::Exit;
use crate::failure::Failure;

/// Run a function of a recipe's abra.sh in a service of an app
///
/// Without a function, the functions are listed. The command ends as the function does.
#[derive(Debug, clap::Args)]
pub(crate) struct CmdArgs {
    /// The app
    domain: String,
    /// Run it on this machine, not in a container: `cmd --local DOMAIN FUNCTION`
    #[arg(long)]
    local: bool,
    /// The user in the container
    #[arg(long, value_name = "USER", conflicts_with = "local")]
    user: Option<String>,
    /// SERVICE FUNCTION, and what is handed to the function
    #[arg(value_name = "SERVICE FUNCTION [ARGS]", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Takes bash where there is one: many recipes count on it.
const SHELL: &str = "command -v bash >/dev/null 2>&1 && exec bash -c \"$0\" \"$@\"; exec /bin/sh -c \"$0\" \"$@\"";
pub(super) fn cmd(args: CmdArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let app = site.open(&args.domain)?;
    let composed = composed(&app, site)?;
    let functions = &composed.recipe.abra_sh.functions;
    if args.words.is_empty() {
        list(&args.domain, functions, site);
        return Ok(Exit::Ok);
    }
    let (service, words) = match (args.local, args.words.as_slice()) {
        (true, words) => (None, words),
        (false, [service, words @ ..]) if !words.is_empty() => (Some(service.as_str()), words),
        _ => {
            return Err(Failure::usage("there is no function").hint(format!(
                "`freehold app cmd {} SERVICE FUNCTION`; it has {}",
                args.domain,
                told(functions)
            )));
        }
    };
    let function = words.first().map_or("", String::as_str);
    if !functions.iter().any(|known| known == function) {
        return Err(Failure::user(format!("the recipe's abra.sh has no function `{function}`"))
            .hint(format!("it has {}", told(functions))));
    }
    let script = composed.recipe.texts.get("abra.sh").map_or("", String::as_str);
    if script.len() > limits::APP_SCRIPT_BYTES {
        let most = limits::APP_SCRIPT_BYTES;
        return Err(Failure::user(format!("abra.sh has {} bytes; {most} are the most", script.len())));
    }
    let script = format!("{script}\n\"$@\"\n");
    match service {
        Some(service) => inside(&app, &app.docker(&site.places)?, service, args.user.as_deref(), &script, words),
        None => here(&app, &composed, &script, words),
    }
}

fn inside(
    app: &App,
    docker: &Docker,
    service: &str,
    user: Option<&str>,
    script: &str,
    words: &[String],
) -> Result<Exit, Failure> {
    let container = container_of(docker, app, service)?;
    let variables =
        [format!("TARGET={service}"), format!("APP_NAME={}", app.domain()), format!("STACK_NAME={}", app.stack)];
    let mut call = vec!["exec", "--interactive"];
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        call.push("--tty");
    }
    user.into_iter().for_each(|user| call.extend(["--user", user]));
    variables.iter().for_each(|variable| call.extend(["--env", variable.as_str()]));
    call.extend([container.as_str(), "/bin/sh", "-c", SHELL, script, "abra.sh"]);
    call.extend(words.iter().map(String::as_str));
    Ok(ended(Docker::hand_over(docker.endpoint(), &call)?))
}

fn here(app: &App, composed: &freehold_app::Composed, script: &str, words: &[String]) -> Result<Exit, Failure> {
    let status = Command::new("/bin/sh")
        .args(["-c", SHELL, script, "abra.sh"])
        .args(words)
        .envs(composed.recipe.variables(&app.env, &app.stack))
        .env("APP_NAME", app.domain())
        .status()?;
    Ok(ended(status.code().unwrap_or(1)))
}

fn ended(code: i32) -> Exit {
    match u8::try_from(code) {
        Ok(0) => Exit::Ok,
        Ok(code) => Exit::Program(code),
        Err(_) => Exit::Failed,
    }
}

fn list(domain: &str, functions: &[String], site: &Site<'_>) {
    if site.session.ui.json {
        site.session.ui.json(
            &serde_json::json!({ "format": "freehold.app-functions/1", "domain": domain, "functions": functions }),
        );
    } else {
        site.session.ui.data(&functions.iter().map(|name| format!("{name}\n")).collect::<String>());
    }
}

fn told(functions: &[String]) -> String {
    if functions.is_empty() { "none".to_owned() } else { functions.join(", ") }
}
