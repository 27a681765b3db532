//! A deployment directory and the provider as its own process, for tests.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::path::PathBuf;
use std::time::Duration;

use freehold_model::{Attrs, Value};
use freehold_protocol::v1::PlanAction;
use freehold_provider::{Call, CallError, Launch, Object, Pool, PoolOptions, Reply};
use serde_json::{Value as Json, json};

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) pool: Pool,
    pub(crate) launch: Launch,
}

pub(crate) fn attrs(json: Json) -> Attrs {
    match Value::from_json(json).unwrap() {
        Value::Map(attrs) => attrs,
        other => panic!("not an attribute set: {other:?}"),
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut launch = Launch::new("local", env!("CARGO_BIN_EXE_freehold-provider-local"));
        launch.cwd = Some(dir.path().to_owned());
        let options = PoolOptions { call_timeout: Duration::from_secs(300), ..PoolOptions::default() };
        Self { dir, pool: Pool::new(options), launch }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn ask(&self, call: Call) -> Result<Reply, CallError> {
        self.pool.call(&self.launch, call)
    }

    pub(crate) fn try_create(&self, type_name: &str, inputs: Attrs) -> Result<Object, CallError> {
        let call = Call::Create { type_name: type_name.into(), inputs: inputs.clone(), stateful: true };
        match self.ask(call)? {
            Reply::Object { outputs, private, .. } => Ok(Object { inputs, outputs, private }),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn create(&self, type_name: &str, inputs: Json) -> Object {
        self.try_create(type_name, attrs(inputs)).unwrap_or_else(|e| panic!("{e} {:?} {}", e.hint(), e.stderr_tail()))
    }

    #[track_caller]
    pub(crate) fn update(&self, type_name: &str, prior: &Object, inputs: Json) -> Object {
        let inputs = attrs(inputs);
        let call = Call::Update { type_name: type_name.into(), prior: prior.clone(), inputs: inputs.clone() };
        match self.ask(call) {
            Ok(Reply::Object { outputs, private, .. }) => Object { inputs, outputs, private },
            other => panic!("{other:?}"),
        }
    }

    /// The object as found, with its inputs as found; none when it is gone.
    #[track_caller]
    pub(crate) fn read(&self, type_name: &str, object: &Object) -> Option<Object> {
        match self.ask(Call::Read { type_name: type_name.into(), object: object.clone() }) {
            Ok(Reply::Object { outputs, private, inputs }) => {
                Some(Object { inputs: inputs.unwrap_or_else(|| object.inputs.clone()), outputs, private })
            }
            Ok(Reply::Gone) => None,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn delete(&self, type_name: &str, object: &Object) {
        let reply = self.ask(Call::Delete { type_name: type_name.into(), object: object.clone() });
        assert_eq!(reply.unwrap(), Reply::Gone);
    }

    #[track_caller]
    pub(crate) fn plan(
        &self,
        type_name: &str,
        prior: Option<&Object>,
        inputs: Json,
    ) -> (PlanAction, Json, Vec<String>) {
        let (prior, inputs) = (prior.cloned(), attrs(inputs));
        match self.ask(Call::Plan { type_name: type_name.into(), prior, inputs, replace: false }) {
            Ok(Reply::Plan { action, planned_outputs, reasons, .. }) => {
                (action, Value::Map(planned_outputs).to_redacted_json(), reasons)
            }
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn refuses(&self, type_name: &str, inputs: Json, message: &str, hint: &str) {
        let error = self.try_create(type_name, attrs(inputs)).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.hint().unwrap_or_default().as_str()), (message, hint));
    }
}

pub(crate) fn shown(attrs: &Attrs) -> Json {
    Value::Map(attrs.clone()).to_redacted_json()
}

pub(crate) fn clear(attrs: &Attrs, name: &str) -> String {
    match attrs.get(name).map(Value::to_clear_json) {
        Some(Json::String(text)) => text,
        other => panic!("`{name}` is {other:?}"),
    }
}

pub(crate) fn unknown() -> Json {
    json!({ "$freehold": "unknown" })
}
