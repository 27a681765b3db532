//! `http`: a gate. It is made when the address answers as it should, so that what depends on it comes after.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use freehold_model::Attrs;
use freehold_protocol::v1::PlanAction;
use freehold_provider::sdk::{Context, Existing, Failure, Made, ResourceType, Traits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ureq::tls::TlsConfig;
use ureq::{Agent, http};

/// Most bytes of a body that are looked at and kept.
const BODY_BYTES: u64 = 1024 * 1024;
/// How often a pause looks whether it should end.
const TICK: Duration = Duration::from_millis(50);
/// Longest wait for one answer.
const ONE_ANSWER: Duration = Duration::from_secs(30);

pub(crate) struct Http;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Inputs {
    /// The address, `http://` or `https://`.
    #[schemars(length(min = 1))]
    url: String,
    /// GET, HEAD, POST, …
    #[serde(default = "get")]
    method: String,
    /// Headers to send.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// What to send.
    body: Option<String>,
    /// Status codes that pass; without it all from 200 to 299.
    expect_status: Option<Vec<u16>>,
    /// Text that the body must hold.
    expect_body: Option<String>,
    /// How long to try.
    #[serde(default = "sixty")]
    #[schemars(range(min = 1))]
    timeout_seconds: u64,
    /// Pause between tries.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    interval_seconds: u64,
    /// Accept any certificate.
    #[serde(default)]
    insecure: bool,
    /// Ask at every apply.
    #[serde(default)]
    #[allow(dead_code, reason = "`plan` looks at it before it is typed")]
    always: bool,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Outputs {
    /// Status code of the answer.
    status: u16,
    /// Its body, as text, up to 1 MiB.
    body: String,
}

fn get() -> String {
    "GET".into()
}

fn sixty() -> u64 {
    60
}

fn one() -> u64 {
    1
}

impl ResourceType for Http {
    type Inputs = Inputs;
    type Outputs = Outputs;
    const NAME: &'static str = "http";
    const DESCRIPTION: &'static str = "Waits until an address answers as it should.";

    fn traits(&self) -> Traits {
        Traits { can_update: true, repeatable: true, plan_always: true, ..Traits::default() }
            .examples_from(include_str!("../../examples/http.json"))
    }

    fn plan(
        &self,
        _: &Context,
        _: &Existing<Self>,
        inputs: &Attrs,
        proposed: PlanAction,
    ) -> Result<(PlanAction, Vec<String>), Failure> {
        let always = inputs.get("always") == Some(&freehold_model::Value::Bool(true));
        Ok(if always && proposed == PlanAction::None {
            (PlanAction::Update, vec!["it is asked at every apply (`always`)".into()])
        } else {
            (proposed, Vec::new())
        })
    }

    fn create(&self, ctx: &Context, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        pass(ctx, &inputs)
    }

    fn update(&self, ctx: &Context, _: &Existing<Self>, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        pass(ctx, &inputs)
    }
}

fn pass(ctx: &Context, inputs: &Inputs) -> Result<Made<Outputs>, Failure> {
    let limit = Duration::from_secs(inputs.timeout_seconds);
    let started = Instant::now();
    let agent = agent(inputs, limit);
    for attempt in 1u32.. {
        let wrong = match ask(&agent, inputs)? {
            Ok(outputs) => match unexpected(inputs, &outputs) {
                None => return Ok(Made::new(outputs).sensitive_if(ctx.has_sensitive_inputs(), &["body"])),
                Some(wrong) => wrong,
            },
            Err(wrong) => wrong,
        };
        let pause = Duration::from_secs(inputs.interval_seconds);
        if started.elapsed() + pause > limit {
            let tries = if attempt == 1 { "1 try".to_owned() } else { format!("{attempt} tries") };
            return Err(Failure::user(format!(
                "`{}` did not answer as expected within {} s ({tries}); last: {wrong}",
                inputs.url, inputs.timeout_seconds
            ))
            .hint("see whether the service is up; `timeoutSeconds` says how long to wait"));
        }
        ctx.progress(None, format!("try {attempt}: {wrong}"));
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if ctx.is_cancelled() {
                return Err(Failure::cancelled());
            }
            std::thread::sleep(TICK);
        }
    }
    Err(Failure::internal("the tries have run out"))
}

fn agent(inputs: &Inputs, limit: Duration) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(limit.min(ONE_ANSWER)))
        .tls_config(TlsConfig::builder().disable_verification(inputs.insecure).build())
        .build()
        .into()
}

/// One try: an answer, or in words why there is none. An error cannot be mended by trying again.
fn ask(agent: &Agent, inputs: &Inputs) -> Result<Result<Outputs, String>, Failure> {
    let mut request = http::Request::builder().method(inputs.method.as_str()).uri(&inputs.url);
    for (name, value) in &inputs.headers {
        request = request.header(name, value);
    }
    let cannot =
        |error: http::Error| Failure::user(format!("`{}` cannot be asked", inputs.url)).because(&error).at("url");
    let answer = match &inputs.body {
        Some(body) => agent.run(request.body(body.clone()).map_err(cannot)?),
        None => agent.run(request.body(()).map_err(cannot)?),
    };
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(error @ (ureq::Error::BadUri(_) | ureq::Error::Http(_))) => {
            return Err(Failure::user(format!("`{}` is not an address", inputs.url)).because(&error).at("url"));
        }
        Err(error) => return Ok(Err(error.to_string())),
    };
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(BODY_BYTES).lossy_utf8(true).read_to_string();
    Ok(match body {
        Ok(body) => Ok(Outputs { status, body }),
        Err(ureq::Error::BodyExceedsLimit(_)) => Err(format!("the body has more than {BODY_BYTES} bytes")),
        Err(error) => Err(error.to_string()),
    })
}

fn unexpected(inputs: &Inputs, answer: &Outputs) -> Option<String> {
    let status_passes = match &inputs.expect_status {
        Some(codes) => codes.contains(&answer.status),
        None => (200..300).contains(&answer.status),
    };
    if !status_passes {
        return Some(format!("status {}", answer.status));
    }
    match &inputs.expect_body {
        Some(text) if !answer.body.contains(text.as_str()) => Some("the body does not hold the expected text".into()),
        _ => None,
    }
}
