//! `object`: one object with declared content, or one that holds state.

use std::collections::BTreeMap;

use base64::Engine as _;
use freehold_model::{Attrs, Value};
use freehold_protocol::v1::{PlanAction, codes};
use freehold_provider::sdk::{
    Context, Existing, Failure, Found, Made, ReadBack, ResourceType, StateLock, StateText, Traits, inputs_as,
};
use freehold_s3::{Client, Condition, Meta, Put, S3Error, Written};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::connection::{Connections, Place, failure};
use crate::state;

/// Key of an object that holds state and is given none.
const STATE_KEY: &str = "freehold.state.jsonl";
/// Inputs that say what an object holds.
const CONTENTS: [&str; 3] = ["contents", "contentsBase64", "source"];

/// The resource type.
pub struct Object {
    connections: Connections,
}

/// Inputs of an object; at most one of `contents`, `contentsBase64` and `source`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// Its bucket.
    #[schemars(extend("x-force-new" = true, "x-identity" = true))]
    pub bucket: String,
    /// Its key. One that holds state has the default `freehold.state.jsonl`.
    #[schemars(extend("x-force-new" = true, "x-identity" = true))]
    pub key: Option<String>,
    /// Address of the store. Default: the provider's.
    #[schemars(extend("x-force-new" = true, "x-identity" = true))]
    pub endpoint: Option<String>,
    /// Region of the bucket. Default: the provider's.
    pub region: Option<String>,
    /// What it holds, as text.
    pub contents: Option<String>,
    /// What it holds, in base64.
    pub contents_base64: Option<String>,
    /// A file with what it holds, relative to the deployment.
    pub source: Option<String>,
    /// MIME type.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// Metadata, names in lower case.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Whether an object that is there already may be replaced. Without this, one that is as declared is taken over and any other is
    /// an error.
    pub overwrite: Option<bool>,
    /// It holds the state of other resources: what is there is kept. Default: true when no content is given.
    #[schemars(extend("x-force-new" = true))]
    pub state: Option<bool>,
    /// Accept a store that does not honour conditional writes, and promise that only one operator works at a time.
    pub single_writer: Option<bool>,
}

/// Outputs of an object. What changes with every write is left out (null) for one that holds state.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// Its bucket.
    #[schemars(extend("x-stable" = true))]
    pub bucket: String,
    /// Its key.
    #[schemars(extend("x-stable" = true))]
    pub key: String,
    /// Address without signature.
    #[schemars(extend("x-stable" = true))]
    pub url: String,
    /// Names this content, as the store sees it.
    pub etag: Option<String>,
    /// In a bucket with versions.
    pub version_id: Option<String>,
    /// Digest of the content, in hexadecimal.
    pub sha256: Option<String>,
}

impl Object {
    pub(crate) fn new(connections: Connections) -> Self {
        Self { connections }
    }

    fn client(&self, ctx: &Context, inputs: &Inputs) -> Result<Client, Failure> {
        let (endpoint, region) = (inputs.endpoint.as_deref(), inputs.region.as_deref());
        self.connections.client(ctx, &Place { bucket: &inputs.bucket, endpoint, region })
    }

    fn holder(&self, ctx: &Context, object: &Existing<Self>) -> Result<state::Holder, Failure> {
        let inputs = object.typed_inputs()?;
        if !inputs.holds_state() {
            return Err(Failure::user("this object has declared content and cannot hold state")
                .code(codes::HOLDS_NO_STATE)
                .hint("leave `contents` and `source` away, or set `state = true`"));
        }
        let client = self.client(ctx, &inputs)?;
        Ok(state::Holder::new(client, inputs.key(), inputs.single_writer == Some(true)))
    }

    /// Writes what is declared; none when the condition does not hold.
    fn put(&self, ctx: &Context, inputs: &Inputs, condition: Condition) -> Result<Option<Made<Outputs>>, Failure> {
        let client = self.client(ctx, inputs)?;
        let content = content(ctx, inputs)?;
        let put = Put {
            condition,
            content_type: inputs.content_type.clone(),
            cache_control: inputs.cache_control.clone(),
            metadata: inputs.metadata.clone().unwrap_or_default(),
        };
        let Written { etag, version_id } = match client.put(&inputs.key(), &content, &put) {
            Err(S3Error::PreconditionFailed { .. }) => return Ok(None),
            written => written.map_err(failure)?,
        };
        let sha256 = Some(hex(&Sha256::digest(&content)));
        Ok(Some(made(ctx, Outputs { etag: Some(etag), version_id, sha256, ..place(&client, inputs) })))
    }

    /// Writes what is declared, whatever is there.
    fn write(&self, ctx: &Context, inputs: &Inputs) -> Result<Made<Outputs>, Failure> {
        let made = self.put(ctx, inputs, Condition::None)?;
        made.ok_or_else(|| Failure::internal("a condition that was not set does not hold"))
    }

    /// Writes what is declared where nothing is yet; what is there already and the same is taken over.
    fn write_new(&self, ctx: &Context, inputs: &Inputs) -> Result<Made<Outputs>, Failure> {
        if inputs.overwrite == Some(true) {
            return self.write(ctx, inputs);
        }
        let (client, key) = (self.client(ctx, inputs)?, inputs.key());
        // Asked first, for a store that does not honour conditions.
        if client.head(&key).map_err(failure)?.is_none()
            && let Some(made) = self.put(ctx, inputs, Condition::Absent)?
        {
            return Ok(made);
        }
        let found = client.get(&key).map_err(failure)?;
        let found = found.ok_or_else(|| Failure::transient(format!("`{key}` was deleted while it was looked at")))?;
        let sha256 = hex(&Sha256::digest(&found.body));
        let differs = if sha256 != hex(&Sha256::digest(content(ctx, inputs)?)) {
            "content"
        } else if described(&Attrs::new(), inputs, &found.meta).is_some() {
            "content type or metadata"
        } else {
            let Meta { etag, version_id, .. } = found.meta;
            let outputs = Outputs { etag: Some(etag), version_id, sha256: Some(sha256), ..place(&client, inputs) };
            return Ok(made(ctx, outputs));
        };
        let (bucket, member) = (&inputs.bucket, ctx.member());
        Err(Failure::user(format!("`{key}` exists already in bucket `{bucket}`, with another {differs}"))
            .hint(format!(
                "take it over with `freehold import {member} {bucket}/{key}`, let it be replaced with `inputs.overwrite = true`, or choose another key"
            ))
            .at("key"))
    }
}

impl Inputs {
    fn holds_state(&self) -> bool {
        self.state.unwrap_or(self.contents.is_none() && self.contents_base64.is_none() && self.source.is_none())
    }

    fn key(&self) -> String {
        self.key.clone().unwrap_or_else(|| STATE_KEY.to_owned())
    }
}

impl ResourceType for Object {
    type Inputs = Inputs;
    type Outputs = Outputs;
    const NAME: &'static str = "object";
    const DESCRIPTION: &'static str = "An object in a bucket.\n\nWith `contents`, `contentsBase64` or `source` it holds what is \
        declared. Without them it holds the state of other resources (`state = members.x;`): what is there already is kept. A \
        holder of state needs a store that honours conditional writes, or `singleWriter = true`.";

    fn traits(&self) -> Traits {
        Traits {
            can_read: true,
            can_update: true,
            can_import: true,
            holds_state: true,
            repeatable: true,
            plan_always: true,
            ..Traits::default()
        }
    }

    fn check(&self, inputs: &Attrs) -> Result<(), Failure> {
        let is_given = |name: &str| inputs.get(name).is_some_and(|value| *value != Value::Null);
        let given: Vec<&str> = CONTENTS.into_iter().filter(|name| is_given(name)).collect();
        if let [first, second, ..] = given[..] {
            return Err(Failure::user(format!("`{first}` and `{second}` exclude each other")).at(second));
        }
        let says = |name: &str, flag: bool| matches!(inputs.get(name), Some(Value::Bool(said)) if *said == flag);
        match given.first() {
            Some(content) if says("state", true) => {
                Err(Failure::user(format!("an object that holds state has no `{content}`")).at(content))
            }
            Some(_) if !is_given("key") => Err(Failure::user("`key` is needed").at("key")),
            None if says("state", false) => Err(Failure::user("an object that does not hold state needs content")
                .hint("give one of `contents`, `contentsBase64` and `source`")),
            _ => Ok(()),
        }
    }

    fn planned_outputs(&self, _: &Context, inputs: &Attrs) -> Attrs {
        let key = match inputs.get("key") {
            None | Some(Value::Null) => STATE_KEY.into(),
            Some(key) => key.clone(),
        };
        let bucket = inputs.get("bucket").cloned().unwrap_or(Value::Unknown);
        [("bucket".to_owned(), bucket), ("key".to_owned(), key)].into()
    }

    fn plan(
        &self,
        ctx: &Context,
        prior: &Existing<Self>,
        inputs: &Attrs,
        proposed: PlanAction,
    ) -> Result<(PlanAction, Vec<String>), Failure> {
        if proposed != PlanAction::None || !inputs.values().all(Value::is_known) {
            return Ok((proposed, Vec::new()));
        }
        let wanted: Inputs = inputs_as(inputs)?;
        if wanted.holds_state() {
            return Ok((proposed, Vec::new()));
        }
        let sha256 = hex(&Sha256::digest(content(ctx, &wanted)?));
        if prior.output_text("sha256") == Some(&sha256) {
            return Ok((proposed, Vec::new()));
        }
        let reason = if wanted.source.is_some() {
            "its source file or the object has another content"
        } else {
            "the object has another content"
        };
        Ok((PlanAction::Update, vec![reason.to_owned()]))
    }

    fn create(&self, ctx: &Context, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        if !inputs.holds_state() {
            return self.write_new(ctx, &inputs);
        }
        let client = self.client(ctx, &inputs)?;
        let holder = state::Holder::new(client.clone(), inputs.key(), inputs.single_writer == Some(true));
        holder.adopt_or_create()?;
        Ok(made(ctx, place(&client, &inputs)))
    }

    fn read(&self, ctx: &Context, object: &Existing<Self>) -> Result<ReadBack<Outputs>, Failure> {
        let inputs = object.typed_inputs()?;
        let client = self.client(ctx, &inputs)?;
        let key = inputs.key();
        let Some(meta) = client.head(&key).map_err(failure)? else { return Ok(ReadBack::Gone) };
        if inputs.holds_state() {
            return Ok(ReadBack::Here { made: made(ctx, place(&client, &inputs)), inputs: None });
        }
        let known = object.output_text("etag") == Some(&meta.etag);
        let sha256 = match object.output_text("sha256") {
            Some(recorded) if known => recorded.to_owned(),
            _ => match client.get(&key).map_err(failure)? {
                Some(found) => hex(&Sha256::digest(&found.body)),
                None => return Ok(ReadBack::Gone),
            },
        };
        // Of an interrupted creation nothing is recorded but what was wanted: another object was not made by it.
        if object.outputs.is_empty()
            && inputs.overwrite != Some(true)
            && sha256 != hex(&Sha256::digest(content(ctx, &inputs)?))
        {
            return Ok(ReadBack::Gone);
        }
        let Meta { etag, version_id, .. } = meta.clone();
        let outputs = Outputs { etag: Some(etag), version_id, sha256: Some(sha256), ..place(&client, &inputs) };
        let inputs = if known { None } else { described(&object.inputs, &inputs, &meta) };
        Ok(ReadBack::Here { made: made(ctx, outputs), inputs })
    }

    fn update(&self, ctx: &Context, _: &Existing<Self>, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        if inputs.holds_state() {
            return Ok(made(ctx, place(&self.client(ctx, &inputs)?, &inputs)));
        }
        self.write(ctx, &inputs)
    }

    fn delete(&self, ctx: &Context, object: &Existing<Self>) -> Result<(), Failure> {
        let inputs = object.typed_inputs()?;
        let client = self.client(ctx, &inputs)?;
        let delete = |key: &str| match client.delete(key) {
            Err(S3Error::NoSuchBucket { .. }) => Ok(()),
            other => other.map_err(failure),
        };
        if inputs.holds_state() {
            delete(&state::lock_key(&inputs.key()))?;
        }
        delete(&inputs.key())
    }

    fn import(&self, ctx: &Context, id: &str) -> Result<Vec<Found<Outputs>>, Failure> {
        let (bucket, key) = id.trim_start_matches("s3://").split_once('/').ok_or_else(|| {
            Failure::user(format!("`{id}` does not name an object")).hint("write `bucket/key` or `s3://bucket/key`")
        })?;
        let client = self.connections.client(ctx, &Place { bucket, ..Place::default() })?;
        let found = client.get(key).map_err(failure)?;
        let found = found.ok_or_else(|| Failure::user(format!("bucket `{bucket}` has no object `{key}`")))?;
        let mut inputs: Attrs = [("bucket".to_owned(), bucket.into()), ("key".to_owned(), key.into())].into();
        match std::str::from_utf8(&found.body) {
            Ok(text) => inputs.insert("contents".to_owned(), text.into()),
            Err(_) => inputs.insert("contentsBase64".to_owned(), BASE64.encode(&found.body).into()),
        };
        let typed = Inputs::minimal(bucket, key);
        let outputs = Outputs {
            etag: Some(found.meta.etag),
            version_id: found.meta.version_id,
            sha256: Some(hex(&Sha256::digest(&found.body))),
            ..place(&client, &typed)
        };
        Ok(vec![Found { inputs, made: Made::new(outputs) }])
    }

    fn state_read(&self, ctx: &Context, object: &Existing<Self>) -> Result<StateText, Failure> {
        self.holder(ctx, object)?.read()
    }

    fn state_append(
        &self,
        ctx: &Context,
        object: &Existing<Self>,
        expected: &str,
        lines: &[String],
        fence: u64,
    ) -> Result<String, Failure> {
        self.holder(ctx, object)?.append(expected, lines, fence)
    }

    fn state_lock(
        &self,
        ctx: &Context,
        object: &Existing<Self>,
        owner: &Json,
        lease_seconds: u64,
        token: Option<&str>,
    ) -> Result<StateLock, Failure> {
        self.holder(ctx, object)?.lock(owner, lease_seconds, token)
    }

    fn state_unlock(&self, ctx: &Context, object: &Existing<Self>, token: Option<&str>) -> Result<(), Failure> {
        self.holder(ctx, object)?.unlock(token)
    }
}

impl Inputs {
    fn minimal(bucket: &str, key: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            key: Some(key.to_owned()),
            endpoint: None,
            region: None,
            contents: None,
            contents_base64: None,
            source: None,
            content_type: None,
            cache_control: None,
            metadata: None,
            overwrite: None,
            state: None,
            single_writer: None,
        }
    }
}

const BASE64: base64::engine::GeneralPurpose = base64::engine::general_purpose::STANDARD;

fn content(ctx: &Context, inputs: &Inputs) -> Result<Vec<u8>, Failure> {
    if let Some(text) = &inputs.contents {
        return Ok(text.as_bytes().to_vec());
    }
    if let Some(text) = &inputs.contents_base64 {
        return BASE64
            .decode(text)
            .map_err(|e| Failure::user("`contentsBase64` is not base64").because(&e).at("contentsBase64"));
    }
    let path = ctx.resolve(inputs.source.as_deref().unwrap_or_default());
    fs_err::read(path).map_err(|e| Failure::from(e).at("source"))
}

/// What is known of an object before anything is sent.
fn place(client: &Client, inputs: &Inputs) -> Outputs {
    let key = inputs.key();
    Outputs { bucket: inputs.bucket.clone(), url: client.url(&key), key, etag: None, version_id: None, sha256: None }
}

/// Digests of secrets are secrets: short ones can be guessed.
fn made(ctx: &Context, outputs: Outputs) -> Made<Outputs> {
    let secret = ctx.is_sensitive("contents") || ctx.is_sensitive("contentsBase64");
    Made::new(outputs).sensitive_if(secret, &["etag", "sha256"])
}

/// The recorded inputs with the type and metadata that the store tells, if those differ.
fn described(recorded: &Attrs, inputs: &Inputs, meta: &Meta) -> Option<Attrs> {
    let mut seen = recorded.clone();
    if inputs.content_type.is_some() && inputs.content_type != meta.content_type {
        seen.insert("contentType".to_owned(), meta.content_type.as_deref().map_or(Value::Null, Value::from));
    }
    if inputs.metadata.as_ref().is_some_and(|metadata| *metadata != meta.metadata) {
        let metadata = json!(meta.metadata);
        seen.insert("metadata".to_owned(), Value::from_json(metadata).unwrap_or(Value::Null));
    }
    (seen != *recorded).then_some(seen)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
