//! Resource types without their type parameters: from wire values to typed ones and back.

use std::marker::PhantomData;

use freehold_model::{Attrs, Pointer, SecretTexts, Sensitive, Value};
use freehold_protocol::v1::{self, Diagnostic, PlanAction, WireObject, codes};
use freehold_protocol::{TypeSchema, WireAttrs};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::marks::read_marks;

use super::{Context, Existing, Failure, Found, Made, ReadBack, ResourceType, planning, resource};
use crate::validate::validate;

/// What `serve` sees of a resource type.
pub(crate) trait AnyType: Send + Sync {
    fn schema(&self) -> &TypeSchema;
    fn validate(&self, inputs: WireAttrs) -> Result<Vec<Diagnostic>, Failure>;
    fn plan(&self, ctx: &Context, asked: v1::PlanParams) -> Result<v1::PlanResult, Failure>;
    fn create(&self, ctx: &mut Context, inputs: WireAttrs) -> Result<WireObject, Failure>;
    fn read(&self, ctx: &mut Context, object: WireObject) -> Result<Option<WireObject>, Failure>;
    fn update(&self, ctx: &mut Context, prior: WireObject, inputs: WireAttrs) -> Result<WireObject, Failure>;
    fn delete(&self, ctx: &mut Context, object: WireObject) -> Result<(), Failure>;
    fn import(&self, ctx: &Context, id: &str) -> Result<Vec<WireObject>, Failure>;
    fn run(&self, ctx: &mut Context, asked: v1::RunParams) -> Result<v1::RunResult, Failure>;
    fn state_read(&self, ctx: &Context, object: WireObject) -> Result<v1::StateReadResult, Failure>;
    fn state_append(&self, ctx: &Context, asked: v1::StateAppendParams) -> Result<v1::StateAppendResult, Failure>;
    fn state_lock(&self, ctx: &Context, asked: v1::StateLockParams) -> Result<v1::StateLockResult, Failure>;
    fn state_unlock(&self, ctx: &Context, asked: v1::StateUnlockParams) -> Result<(), Failure>;
}

pub(crate) struct Erased<T> {
    of: T,
    schema: TypeSchema,
}

impl<T: ResourceType> Erased<T> {
    pub(crate) fn new(of: T) -> Self {
        let schema = type_schema(&of);
        Self { of, schema }
    }

    /// Proper names, marks of secrets by nature, and a complete check.
    fn inputs(&self, wire: WireAttrs) -> Result<Attrs, Failure> {
        let inputs = self.open_inputs(wire)?;
        let mut found = validate(&self.schema, &inputs);
        if found.is_empty() {
            self.of.check(&inputs)?;
            for (name, value) in &inputs {
                if !value.is_known() {
                    let message = format!("`{name}` is not known yet");
                    found.push(Diagnostic { pointer: Pointer::new([name]), message, hint: None });
                }
            }
        }
        if found.is_empty() { Ok(inputs) } else { Err(refused(T::NAME, found)) }
    }

    fn open_inputs(&self, wire: WireAttrs) -> Result<Attrs, Failure> {
        let mut inputs = attrs(wire)?;
        self.schema.resolve_aliases(&mut inputs);
        self.schema.mark_sensitive_inputs(&mut inputs);
        Ok(inputs)
    }

    fn existing(&self, wire: WireObject) -> Result<Existing<T>, Failure> {
        Ok(Existing {
            inputs: self.open_inputs(wire.inputs.unwrap_or_default())?,
            outputs: attrs(wire.outputs)?,
            private: wire.private.map(Sensitive::new),
            of: PhantomData,
        })
    }

    /// With every secret marked: by the schema, by the type, and because it repeats one of `secrets`.
    fn wire(
        &self,
        made: Made<T::Outputs>,
        inputs: Option<&Attrs>,
        secrets: &SecretTexts,
    ) -> Result<WireObject, Failure> {
        let json = serde_json::to_value(made.outputs)
            .map_err(|e| Failure::internal("outputs cannot be written as JSON").because(&e))?;
        let mut outputs = match literal(json) {
            Value::Map(outputs) => outputs,
            _ => return Err(Failure::internal("outputs must be an attribute set")),
        };
        self.schema.mark_sensitive_outputs(&mut outputs);
        freehold_protocol::mark_sensitive(&mut outputs, &made.sensitive);
        secrets.mark(&mut outputs);
        Ok(WireObject {
            inputs: inputs.map(WireAttrs::from_attrs),
            outputs: WireAttrs::from_attrs(&outputs),
            private: made.private,
        })
    }
}

impl<T: ResourceType> AnyType for Erased<T> {
    fn schema(&self) -> &TypeSchema {
        &self.schema
    }

    fn validate(&self, inputs: WireAttrs) -> Result<Vec<Diagnostic>, Failure> {
        let inputs = self.open_inputs(inputs)?;
        let found = validate(&self.schema, &inputs);
        if !found.is_empty() {
            return Ok(found);
        }
        Ok(match self.of.check(&inputs) {
            Ok(()) => Vec::new(),
            Err(failure) => {
                let error = failure.into_error();
                let said = error.data.as_ref().map(|data| data.diagnostics.clone()).unwrap_or_default();
                if said.is_empty() {
                    let hint = error.data.and_then(|data| data.hint);
                    vec![Diagnostic { pointer: Pointer::root(), message: error.message, hint }]
                } else {
                    said
                }
            }
        })
    }

    fn plan(&self, ctx: &Context, asked: v1::PlanParams) -> Result<v1::PlanResult, Failure> {
        let inputs = self.open_inputs(asked.inputs)?;
        let found = validate(&self.schema, &inputs);
        if !found.is_empty() {
            return Err(refused(T::NAME, found));
        }
        self.of.check(&inputs)?;
        let prior = asked.prior.map(|prior| self.existing(prior)).transpose()?;
        self.of.check_place(ctx, prior.as_ref(), &inputs)?;
        let (action, reasons) = match &prior {
            None => (PlanAction::Update, Vec::new()),
            Some(_) if asked.replace => (PlanAction::Replace, Vec::new()),
            Some(prior) => {
                let (proposed, mut reasons) = planning::compare(&self.schema, &prior.inputs, &inputs);
                let (action, more) = self.of.plan(ctx, prior, &inputs, proposed)?;
                reasons.extend(more);
                (action, reasons)
            }
        };
        let told = self.of.planned_outputs(ctx, &inputs);
        let mut planned = planning::outputs(&self.schema, action, prior.as_ref().map(|p| &p.outputs), told);
        SecretTexts::of(&inputs).mark(&mut planned);
        let planned_outputs = WireAttrs::from_attrs(&planned);
        Ok(v1::PlanResult { action, planned_outputs, reasons, private: None })
    }

    fn create(&self, ctx: &mut Context, inputs: WireAttrs) -> Result<WireObject, Failure> {
        let inputs = self.inputs(inputs)?;
        ctx.given(&inputs);
        let made = self.of.create(ctx, typed(&inputs, "inputs")?)?;
        self.wire(made, None, &ctx.secrets)
    }

    fn read(&self, ctx: &mut Context, object: WireObject) -> Result<Option<WireObject>, Failure> {
        let object = self.existing(object)?;
        ctx.given(&object.inputs);
        match self.of.read(ctx, &object)? {
            ReadBack::Here { made, inputs } => Ok(Some(self.wire(made, inputs.as_ref(), &ctx.secrets)?)),
            ReadBack::Gone => Ok(None),
        }
    }

    fn update(&self, ctx: &mut Context, prior: WireObject, inputs: WireAttrs) -> Result<WireObject, Failure> {
        let prior = self.existing(prior)?;
        let inputs = self.inputs(inputs)?;
        ctx.given(&inputs);
        let made = self.of.update(ctx, &prior, typed(&inputs, "inputs")?)?;
        self.wire(made, None, &ctx.secrets)
    }

    fn delete(&self, ctx: &mut Context, object: WireObject) -> Result<(), Failure> {
        let object = self.existing(object)?;
        ctx.given(&object.inputs);
        self.of.delete(ctx, &object)
    }

    fn import(&self, ctx: &Context, id: &str) -> Result<Vec<WireObject>, Failure> {
        let found = self.of.import(ctx, id)?;
        found
            .into_iter()
            .map(|Found { inputs, made }| self.wire(made, Some(&inputs), &SecretTexts::of(&inputs)))
            .collect()
    }

    fn run(&self, ctx: &mut Context, asked: v1::RunParams) -> Result<v1::RunResult, Failure> {
        let known = &self.schema.operations;
        let Some(operation) = known.get(&asked.operation) else {
            let failure = Failure::user(format!("`{}` has no operation `{}`", T::NAME, asked.operation));
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            return Err(match names[..] {
                [] => failure.hint("this type has no operations"),
                _ => failure.hint(format!("there are: {}", names.join(", "))),
            });
        };
        if let (true, Some(first)) = (operation.arguments.is_empty(), asked.args.first()) {
            let message = format!("operation `{}` takes no arguments, and was given `{first}`", asked.operation);
            return Err(Failure::user(message).hint("leave it out"));
        }
        let object = self.existing(asked.object)?;
        ctx.given(&object.inputs);
        let ran = self.of.run(ctx, &object, &asked.operation, &asked.args)?;
        let object = ran.made.map(|made| self.wire(made, None, &ctx.secrets)).transpose()?;
        Ok(v1::RunResult { exit_code: ran.exit_code, object })
    }

    fn state_read(&self, ctx: &Context, object: WireObject) -> Result<v1::StateReadResult, Failure> {
        let state = self.of.state_read(ctx, &self.existing(object)?)?;
        Ok(v1::StateReadResult { text: state.text, version: state.version })
    }

    fn state_append(&self, ctx: &Context, asked: v1::StateAppendParams) -> Result<v1::StateAppendResult, Failure> {
        let object = self.existing(asked.object)?;
        let version = self.of.state_append(ctx, &object, &asked.expected_version, &asked.lines, asked.fence)?;
        Ok(v1::StateAppendResult { version })
    }

    fn state_lock(&self, ctx: &Context, asked: v1::StateLockParams) -> Result<v1::StateLockResult, Failure> {
        let object = self.existing(asked.object)?;
        let lock = self.of.state_lock(ctx, &object, &asked.owner, asked.lease_seconds, asked.token.as_deref())?;
        Ok(v1::StateLockResult { token: lock.token, fence: lock.fence })
    }

    fn state_unlock(&self, ctx: &Context, asked: v1::StateUnlockParams) -> Result<(), Failure> {
        let object = self.existing(asked.object)?;
        self.of.state_unlock(ctx, &object, asked.token.as_deref())
    }
}

/// Values as a Rust type.
pub(crate) fn typed<V: DeserializeOwned>(attrs: &Attrs, what: &str) -> Result<V, Failure> {
    serde_json::from_value(plain(&Value::Map(attrs.clone())))
        .map_err(|e| Failure::user(format!("{what} are not as they should be")).because(&e).code(codes::INVALID_PARAMS))
}

/// Inputs as a Rust type, the same that `create` is given: for a type that looks at them in its `plan`, too.
///
/// # Errors
/// When they are not of that type; places that are not known yet are of none.
pub fn inputs_as<V: DeserializeOwned>(inputs: &Attrs) -> Result<V, Failure> {
    typed(inputs, "inputs")
}

/// JSON without marks: a literal `$freehold` as it was meant.
pub(crate) fn plain(value: &Value) -> Json {
    match value {
        Value::Map(attrs) => Json::Object(attrs.iter().map(|(name, v)| (name.clone(), plain(v))).collect()),
        Value::List(items) => Json::Array(items.iter().map(plain).collect()),
        Value::Sensitive(inner) => plain(inner.expose()),
        other => other.to_clear_json(),
    }
}

/// JSON that holds no marks, as a value.
pub(crate) fn literal(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(b),
        Json::Number(n) => Value::Number(n),
        Json::String(s) => Value::String(s),
        Json::Array(items) => Value::List(items.into_iter().map(literal).collect()),
        Json::Object(object) => Value::Map(object.into_iter().map(|(name, v)| (name, literal(v))).collect()),
    }
}

fn attrs(wire: WireAttrs) -> Result<Attrs, Failure> {
    wire.into_attrs().map_err(|e| Failure::user("values cannot be read").because(&e).code(codes::INVALID_PARAMS))
}

fn refused(type_name: &str, found: Vec<Diagnostic>) -> Failure {
    let first = found.first().map(|d| format!(": {}", d.message)).unwrap_or_default();
    let hint = found.first().and_then(|d| d.hint.clone());
    let more = if found.len() > 1 { format!(" (and {} more)", found.len() - 1) } else { String::new() };
    let failure = Failure::user(format!("inputs of `{type_name}` are refused{first}{more}"))
        .code(codes::INVALID_PARAMS)
        .diagnostics(found);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The JSON Schema of a Rust type, as what is read.
pub(crate) fn schema_of<S: JsonSchema>() -> Json {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<S>().to_value()
}

/// The JSON Schema of a Rust type, as what is written.
fn output_schema_of<S: JsonSchema + Serialize>() -> Json {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<S>().to_value()
}

fn type_schema<T: ResourceType>(of: &T) -> TypeSchema {
    let traits = of.traits();
    let mut schema = TypeSchema {
        description: T::DESCRIPTION.into(),
        inputs: schema_of::<T::Inputs>(),
        outputs: output_schema_of::<T::Outputs>(),
        aliases: traits.aliases.iter().map(|(alias, name)| ((*alias).to_owned(), (*name).to_owned())).collect(),
        operations: resource::operations(&traits),
        stateful: traits.stateful,
        holds_state: traits.holds_state,
        can_read: traits.can_read,
        can_update: traits.can_update,
        can_delete: true,
        can_import: traits.can_import,
        repeatable: traits.repeatable,
        plan_always: traits.plan_always,
        examples: traits.examples,
        ..TypeSchema::default()
    };
    read_marks(&mut schema);
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_read_as_they_were_meant_marks_and_all() {
        let literal = Value::Map([("$freehold".to_owned(), "x".into())].into());
        let secret = Value::from("canary").into_sensitive();
        let inputs: Attrs = [("args".to_owned(), literal), ("token".to_owned(), secret)].into();
        let read: Json = inputs_as(&inputs).unwrap();
        assert_eq!(read, serde_json::json!({ "args": { "$freehold": "x" }, "token": "canary" }));
    }
}
