//! Asking providers, and the one place where what they say enters the engine: what their schema calls a secret, and what repeats a
//! secret that they were given, is marked here, whether the provider marks it itself or not, before anything else sees it.

use std::sync::Arc;
use std::sync::mpsc::channel;

use freehold_apply::Failure;
use freehold_model::{Attrs, Declaration, ErrorKind, MemberPath, ProviderRef, Record, SecretTexts};
use freehold_protocol::v1::{Diagnostic, LogLevel, codes};
use freehold_protocol::{ProviderSchema, TypeSchema};
use freehold_provider::{Call, CallError, CallEvent, CallId, Callback, Launch, Object, ProviderError, Reply, validate};

use crate::engine::Engine;

impl Engine {
    /// Asks without waiting; secrets of what `on_event` hears are marked.
    pub(crate) fn submit(
        &self,
        provider: &ProviderRef,
        launch: &Launch,
        call: Call,
        member: &MemberPath,
        on_event: Callback,
    ) -> CallId {
        let marks = Marks::of(self.catalog.schema(provider), &call);
        let on_event = move |event| {
            for text in marks.faults(&event) {
                on_event(CallEvent::Log { level: LogLevel::Warn, message: text, fields: serde_json::Map::new() });
            }
            on_event(marks.event(event));
        };
        self.pool.submit(launch, call.of(member), Box::new(on_event))
    }

    /// Asks what would be done. Where there is something new to the inputs, they are looked at before: here with the provider's
    /// schema, then by the provider (`validate`). What is wrong with them comes as an error with its places.
    pub(crate) fn ask_plan(
        &self,
        member: &MemberPath,
        declaration: &Declaration,
        prior: Option<&Record>,
        replace: bool,
        on_result: impl Fn(Result<Reply, CallError>) + Send + Sync + 'static,
    ) -> Result<(), Failure> {
        let provider = &declaration.provider;
        let plan = self.plan_call(declaration, prior, replace)?;
        let launch = self.catalog.launch(provider)?;
        let is_new = replace || prior.is_none_or(|prior| prior.inputs != declaration.inputs);
        let v1 = self.catalog.schema(provider).is_some_and(|schema| schema.protocol > 0);
        let marks = Marks::of(self.catalog.schema(provider), &plan);
        let marked = move |event| {
            if let CallEvent::Done(result) = marks.event(event) {
                on_result(result)
            }
        };
        let Call::Plan { type_name, inputs, .. } = &plan else { return Ok(()) };
        if !is_new || !v1 {
            self.pool.submit(&launch, plan.of(member), Box::new(marked));
            return Ok(());
        }
        let schema = self.catalog.type_schema(provider, type_name);
        let found = schema.map(|schema| validate::validate_declared(schema, inputs)).unwrap_or_default();
        if !found.is_empty() {
            marked(CallEvent::Done(Err(refused(found))));
            return Ok(());
        }
        let validate = Call::Validate { type_name: type_name.clone(), inputs: inputs.clone() }.of(member);
        let (pool, member) = (Arc::clone(&self.pool), member.clone());
        let (again, marked) = (launch.clone(), Arc::new(marked));
        let on_event = move |event| {
            let CallEvent::Done(result) = event else { return };
            let result = match result {
                // One that does not look at inputs before it is asked for a plan says so.
                Err(CallError::Failed { error, .. }) if error.code == codes::METHOD_NOT_FOUND => Ok(Vec::new()),
                Ok(Reply::Validated(found)) => Ok(found),
                other => Err(other),
            };
            match result {
                Ok(found) if found.is_empty() => {
                    let marked = Arc::clone(&marked);
                    pool.submit(&again, plan.clone().of(&member), Box::new(move |event| marked(event)));
                }
                Ok(found) => marked(CallEvent::Done(Err(refused(found)))),
                Err(other) => marked(CallEvent::Done(other)),
            }
        };
        self.pool.submit(&launch, validate, Box::new(on_event));
        Ok(())
    }

    /// Asks and waits for the reply.
    pub(crate) fn ask_and_wait(
        &self,
        provider: &ProviderRef,
        launch: &Launch,
        call: Call,
        member: &MemberPath,
    ) -> Result<Reply, CallError> {
        let (tell, told) = channel();
        let tell = move |event| {
            if let CallEvent::Done(result) = event {
                // Nobody waits any more: nothing to be told.
                let _ = tell.send(result);
            }
        };
        self.submit(provider, launch, call, member, Box::new(tell));
        told.recv().unwrap_or(Err(CallError::PoolClosed))
    }
}

/// Inputs of which something is wrong.
fn refused(diagnostics: Vec<Diagnostic>) -> CallError {
    let error = ProviderError {
        code: codes::INVALID_PARAMS,
        kind: ErrorKind::User,
        message: "its inputs are refused".to_owned(),
        hint: None,
        diagnostics,
        partial: None,
    };
    CallError::Failed { scene: Box::default(), error: Box::new(error) }
}

/// What is to be marked in what is said about objects of one type.
struct Marks {
    schema: Option<Arc<ProviderSchema>>,
    type_name: String,
    /// Whether an object was made or changed, so that all of its outputs are known.
    makes: bool,
    /// What the provider was given that is secret.
    secrets: SecretTexts,
}

impl Marks {
    fn of(schema: Option<&Arc<ProviderSchema>>, call: &Call) -> Self {
        let makes = matches!(call, Call::Create { .. } | Call::Update { .. });
        let type_name = call.type_name().unwrap_or_default().to_owned();
        let has_schema = schema.is_some_and(|schema| schema.types.contains_key(&type_name));
        Self { schema: schema.cloned(), secrets: secrets_in(call, has_schema), type_name, makes }
    }

    fn type_schema(&self) -> Option<&TypeSchema> {
        self.schema.as_ref()?.types.get(&self.type_name)
    }

    fn event(&self, mut event: CallEvent) -> CallEvent {
        match &mut event {
            CallEvent::Partial { outputs, .. } => self.mark(None, outputs),
            CallEvent::Done(Ok(reply)) => self.mark_reply(reply),
            CallEvent::Done(Err(error)) => {
                if let Some(partial) = error.partial_mut() {
                    self.mark(Some(&mut partial.inputs), &mut partial.outputs);
                }
            }
            CallEvent::Progress { .. } | CallEvent::Log { .. } | CallEvent::Output { .. } => {}
        }
        match self.type_schema() {
            Some(schema) => self.refuse_half_an_object(schema, event),
            None => event,
        }
    }

    /// Outputs that are not what the schema says. The object is there, and what it gave may still serve: that is told and no failure.
    fn faults(&self, event: &CallEvent) -> Vec<String> {
        let (Some(schema), CallEvent::Done(Ok(Reply::Object { outputs, .. }))) = (self.type_schema(), event) else {
            return Vec::new();
        };
        if !self.makes {
            return Vec::new();
        }
        let found = validate::mistyped_outputs(schema, outputs).into_iter();
        found.map(|d| format!("output `{}` is not as the provider's schema says: {}", d.pointer, d.message)).collect()
    }

    fn mark_reply(&self, reply: &mut Reply) {
        match reply {
            Reply::Plan { planned_outputs, .. } => self.mark(None, planned_outputs),
            Reply::Object { outputs, inputs, .. } => self.mark(inputs.as_mut(), outputs),
            Reply::Imported(found) => {
                for object in found {
                    self.mark(Some(&mut object.inputs), &mut object.outputs);
                }
            }
            Reply::Ran { outputs: Some(outputs), .. } => self.mark(None, outputs),
            _ => {}
        }
    }

    fn mark(&self, inputs: Option<&mut Attrs>, outputs: &mut Attrs) {
        let mut secrets = self.secrets.clone();
        if let Some(inputs) = inputs {
            if let Some(schema) = self.type_schema() {
                schema.mark_sensitive_inputs(inputs);
            }
            self.secrets.mark(inputs);
            secrets = secrets.and(inputs);
        }
        if let Some(schema) = self.type_schema() {
            schema.mark_sensitive_outputs(outputs);
        }
        secrets.mark(outputs);
    }

    /// A provider that makes an object and does not say all of it that its schema promises has not done what it was asked: the
    /// object is recorded as one that is half made.
    fn refuse_half_an_object(&self, schema: &TypeSchema, event: CallEvent) -> CallEvent {
        let CallEvent::Done(Ok(Reply::Object { outputs, private, inputs })) = event else { return event };
        let lacks = schema.required_outputs().into_iter().find(|name| !outputs.contains_key(*name));
        let unknown = outputs.iter().find(|(_, value)| !value.is_known()).map(|(name, _)| name.clone());
        let message = match (self.makes, lacks, unknown) {
            (true, Some(name), _) => {
                format!("its provider made it and did not say output `{name}`, which the schema promises")
            }
            (true, None, Some(name)) => format!("its provider made it and says that output `{name}` is not known"),
            _ => return CallEvent::Done(Ok(Reply::Object { outputs, private, inputs })),
        };
        let known = outputs.into_iter().filter(|(_, value)| value.is_known()).collect();
        let error = ProviderError {
            code: codes::INTERNAL,
            kind: ErrorKind::Internal,
            message,
            hint: Some("this is a fault of the provider; `freehold provider test` shows more".to_owned()),
            diagnostics: Vec::new(),
            partial: Some(Object { inputs: inputs.unwrap_or_default(), outputs: known, private }),
        };
        CallEvent::Done(Err(CallError::Failed { scene: Box::default(), error: Box::new(error) }))
    }
}

/// What is secret in what a call says of inputs. A type without a schema can never say that an output is a secret: what was one
/// stays one as long as it is the same text. So it does in what is only looked at, of which not all inputs may be recorded.
fn secrets_in(call: &Call, has_schema: bool) -> SecretTexts {
    let of = |object: &Object| {
        let inputs = SecretTexts::of(&object.inputs);
        let looks = matches!(call, Call::Read { .. });
        if looks || !has_schema { inputs.and(&object.outputs) } else { inputs }
    };
    match call {
        Call::Plan { prior, inputs, .. } => prior.as_ref().map(of).unwrap_or_default().and(inputs),
        Call::Create { inputs, .. } => SecretTexts::of(inputs),
        Call::Update { prior, inputs, .. } => of(prior).and(inputs),
        Call::Read { object, .. } | Call::Run { object, .. } => of(object),
        _ => SecretTexts::default(),
    }
}

#[cfg(test)]
mod tests {
    use freehold_model::{Pointer, Value};

    use super::*;

    /// Marks of a type whose output `secret` is one.
    fn marks() -> Marks {
        let of = TypeSchema {
            sensitive_inputs: vec![Pointer::new(["password"])],
            sensitive_outputs: vec![Pointer::new(["secret"])],
            ..TypeSchema::default()
        };
        let types = [("t".to_owned(), of)].into();
        let schema = ProviderSchema { name: "p".into(), version: String::new(), protocol: 1, types, config: None };
        Marks { schema: Some(Arc::new(schema)), type_name: "t".into(), makes: true, secrets: SecretTexts::default() }
    }

    fn clear() -> Attrs {
        texts("canary")
    }

    fn texts(word: &str) -> Attrs {
        ["secret", "password", "open"].map(|name| (name.to_owned(), Value::from(format!("{word} of {name}")))).into()
    }

    #[track_caller]
    fn check(event: CallEvent, hidden: &[&str]) {
        let shown = match marks().event(event) {
            CallEvent::Partial { outputs, .. } => vec![outputs],
            CallEvent::Done(Ok(Reply::Plan { planned_outputs, .. })) => vec![planned_outputs],
            CallEvent::Done(Ok(Reply::Object { outputs, inputs, .. })) => {
                vec![outputs, inputs.unwrap_or_default()]
            }
            CallEvent::Done(Ok(Reply::Ran { outputs, .. })) => vec![outputs.unwrap_or_default()],
            CallEvent::Done(Err(error)) => error.partial().map(|o| o.outputs.clone()).into_iter().collect(),
            other => panic!("{other:?}"),
        };
        let found: Vec<&str> =
            shown.iter().flatten().filter(|(_, value)| value.has_sensitive()).map(|(name, _)| name.as_str()).collect();
        assert_eq!(found, hidden);
    }

    #[test]
    fn whatever_a_provider_says_is_marked_as_its_schema_says() {
        let done = |reply| CallEvent::Done(Ok(reply));
        check(CallEvent::Partial { outputs: clear(), private: None }, &["secret"]);
        check(done(Reply::Object { outputs: clear(), private: None, inputs: None }), &["secret"]);
        check(
            done(Reply::Object { outputs: clear(), private: None, inputs: Some(texts("found")) }),
            &["secret", "password"],
        );
        check(done(Reply::Ran { exit_code: 0, outputs: Some(clear()), private: None }), &["secret"]);
        let planned = Reply::Plan {
            action: freehold_protocol::v1::PlanAction::Update,
            planned_outputs: clear(),
            reasons: Vec::new(),
            private: None,
        };
        check(done(planned), &["secret"]);
        let error = freehold_provider::ProviderError {
            code: 1,
            kind: freehold_model::ErrorKind::User,
            message: String::new(),
            hint: None,
            diagnostics: Vec::new(),
            partial: Some(freehold_provider::Object { outputs: clear(), ..freehold_provider::Object::default() }),
        };
        let failed = CallError::Failed { scene: Box::default(), error: Box::new(error) };
        check(CallEvent::Done(Err(failed)), &["secret"]);
    }

    #[test]
    fn what_repeats_a_secret_that_was_given_is_one_with_a_schema_and_without() {
        let attrs = |text: &str, secret: bool| -> Attrs {
            let value = Value::from(text);
            [("name".to_owned(), if secret { value.into_sensitive() } else { value })].into()
        };
        let given = attrs("canary-4711", true);
        let object = |inputs: &Attrs| Object { inputs: inputs.clone(), outputs: given.clone(), private: None };
        let type_name = "t".to_owned();
        let is_marked = |schema: Option<Arc<ProviderSchema>>, call: &Call| {
            let reply = Reply::Object { outputs: attrs("in/canary-4711", false), private: None, inputs: None };
            match Marks::of(schema.as_ref(), call).event(CallEvent::Done(Ok(reply))) {
                CallEvent::Done(Ok(Reply::Object { outputs, .. })) => outputs["name"].has_sensitive(),
                other => panic!("{other:?}"),
            }
        };
        let open = attrs("open", false);
        let create = Call::Create { type_name: type_name.clone(), inputs: given.clone(), stateful: true };
        let update =
            |prior, inputs: &Attrs| Call::Update { type_name: type_name.clone(), prior, inputs: inputs.clone() };
        let read = Call::Read { type_name: type_name.clone(), object: object(&open) };
        for (call, with_schema, without) in [
            (create, true, true),
            (update(object(&open), &given), true, true),
            (update(object(&given), &open), true, true),
            (update(object(&open), &open), false, true),
            (read, true, true),
        ] {
            assert_eq!((is_marked(marks().schema, &call), is_marked(None, &call)), (with_schema, without), "{call:?}");
        }
    }

    #[test]
    fn an_object_without_what_its_schema_promises_is_half_made() {
        let of = TypeSchema { outputs: serde_json::json!({ "required": ["id"] }), ..TypeSchema::default() };
        let schema = ProviderSchema {
            name: "p".into(),
            version: String::new(),
            protocol: 1,
            types: [("t".to_owned(), of)].into(),
            config: None,
        };
        let schema = Some(Arc::new(schema));
        let secrets = SecretTexts::default();
        let marks = |makes| Marks { schema: schema.clone(), type_name: "t".into(), makes, secrets: secrets.clone() };
        let made = |outputs: &[(&str, Value)]| {
            let outputs = outputs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            CallEvent::Done(Ok(Reply::Object { outputs, private: None, inputs: None }))
        };
        let result = |makes, event| match marks(makes).event(event) {
            CallEvent::Done(result) => result,
            other => panic!("{other:?}"),
        };
        let lacks = result(true, made(&[("size", 1.into())])).unwrap_err();
        assert_eq!(lacks.to_string(), "its provider made it and did not say output `id`, which the schema promises");
        assert_eq!(lacks.partial().unwrap().outputs["size"], 1.into());
        let unknown = result(true, made(&[("id", "a".into()), ("size", Value::Unknown)])).unwrap_err();
        assert_eq!(unknown.to_string(), "its provider made it and says that output `size` is not known");
        assert!(result(true, made(&[("id", "a".into())])).is_ok());
        assert!(result(false, made(&[])).is_ok(), "a read shows what there is");
    }
}
