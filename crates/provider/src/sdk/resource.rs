//! What a resource type implements.

use std::collections::BTreeMap;

use freehold_model::{Attrs, Pointer, Value};
use freehold_protocol::Example;
use freehold_protocol::v1::PlanAction;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::{Context, Failure};
use crate::Private;

/// A type of resource. Only `create` must be written; [`ResourceType::traits`] says what else there is.
///
/// Fields of the inputs and outputs are described by their doc comments and marked with schemars attributes:
/// `#[schemars(extend("x-sensitive" = true))]` (a secret), `"x-force-new"` (its change makes a new object necessary),
/// `"x-identity"` (together these name the object in the world),
/// `"x-computed"`, `"x-write-only"` (inputs), `"x-stable"` (an output that an update does not change).
pub trait ResourceType: Send + Sync + 'static {
    /// Inputs as they arrive. Unrecognised ones are refused before.
    type Inputs: DeserializeOwned + JsonSchema;
    /// Outputs as they leave.
    type Outputs: Serialize + DeserializeOwned + JsonSchema;
    /// Name of the type.
    const NAME: &'static str;
    /// What it is, in Markdown; the first line stands alone.
    const DESCRIPTION: &'static str;

    /// What it can do beside `create`.
    fn traits(&self) -> Traits {
        Traits::default()
    }

    /// What is wrong with inputs beyond their schema; they may be unknown in part. Told before anything is done.
    fn check(&self, inputs: &Attrs) -> Result<(), Failure> {
        let _ = inputs;
        Ok(())
    }

    /// What is wrong with inputs where they are to be used, asked in every plan, after [`ResourceType::check`]. `prior` is the object
    /// as it is recorded.
    ///
    /// # Errors
    /// When something is in the way.
    fn check_place(&self, ctx: &Context, prior: Option<&Existing<Self>>, inputs: &Attrs) -> Result<(), Failure>
    where
        Self: Sized,
    {
        let _ = (ctx, prior, inputs);
        Ok(())
    }

    /// Outputs that can be told from inputs (which may be unknown in part); others are unknown until then.
    fn planned_outputs(&self, ctx: &Context, inputs: &Attrs) -> Attrs {
        let _ = (ctx, inputs);
        Attrs::new()
    }

    /// A say in the plan of an existing object; `proposed` comes from comparing inputs.
    ///
    /// # Errors
    /// When it cannot be planned.
    fn plan(
        &self,
        ctx: &Context,
        prior: &Existing<Self>,
        inputs: &Attrs,
        proposed: PlanAction,
    ) -> Result<(PlanAction, Vec<String>), Failure>
    where
        Self: Sized,
    {
        let _ = (ctx, prior, inputs);
        Ok((proposed, Vec::new()))
    }

    /// Makes an object.
    ///
    /// # Errors
    /// When it cannot be made; with [`Failure::partial`] when something of it exists all the same.
    fn create(&self, ctx: &Context, inputs: Self::Inputs) -> Result<Made<Self::Outputs>, Failure>;

    /// Looks at an object. Only with [`Traits::can_read`].
    ///
    /// # Errors
    /// When it cannot be told how it is. That it does not exist is no error.
    fn read(&self, ctx: &Context, object: &Existing<Self>) -> Result<ReadBack<Self::Outputs>, Failure>
    where
        Self: Sized,
    {
        let _ = (ctx, object);
        Err(unsupported(Self::NAME, "read"))
    }

    /// Changes an object in place. Only with [`Traits::can_update`].
    ///
    /// # Errors
    /// When it cannot be changed.
    fn update(
        &self,
        ctx: &Context,
        prior: &Existing<Self>,
        inputs: Self::Inputs,
    ) -> Result<Made<Self::Outputs>, Failure>
    where
        Self: Sized,
    {
        let _ = (ctx, prior, inputs);
        Err(unsupported(Self::NAME, "update"))
    }

    /// Removes an object; one that does not exist any more counts as removed.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn delete(&self, ctx: &Context, object: &Existing<Self>) -> Result<(), Failure>
    where
        Self: Sized,
    {
        let _ = (ctx, object);
        Ok(())
    }

    /// Finds what the world calls `id`. Only with [`Traits::can_import`].
    ///
    /// # Errors
    /// When there is no such thing.
    fn import(&self, ctx: &Context, id: &str) -> Result<Vec<Found<Self::Outputs>>, Failure> {
        let _ = (ctx, id);
        Err(unsupported(Self::NAME, "import"))
    }

    /// Runs one of [`Traits::operations`].
    ///
    /// # Errors
    /// When it cannot be run; that it ran and failed is an exit code.
    fn run(
        &self,
        ctx: &Context,
        object: &Existing<Self>,
        operation: &str,
        args: &[String],
    ) -> Result<Ran<Self::Outputs>, Failure>
    where
        Self: Sized,
    {
        let _ = (ctx, object, args);
        Err(unsupported(Self::NAME, operation))
    }

    /// The state that this object holds. Only with [`Traits::holds_state`].
    ///
    /// # Errors
    /// When it cannot be read.
    fn state_read(&self, ctx: &Context, object: &Existing<Self>) -> Result<StateText, Failure>
    where
        Self: Sized,
    {
        let _ = (ctx, object);
        Err(unsupported(Self::NAME, "state/read"))
    }

    /// Appends lines to the state, if it still has the version `expected`; gives the version afterwards.
    ///
    /// # Errors
    /// When it has moved on, or when `fence` is older than one seen before.
    fn state_append(
        &self,
        ctx: &Context,
        object: &Existing<Self>,
        expected: &str,
        lines: &[String],
        fence: u64,
    ) -> Result<String, Failure>
    where
        Self: Sized,
    {
        let _ = (ctx, object, expected, lines, fence);
        Err(unsupported(Self::NAME, "state/append"))
    }

    /// Takes the lock of the state, or renews it when `token` holds it.
    ///
    /// # Errors
    /// When somebody else holds it.
    fn state_lock(
        &self,
        ctx: &Context,
        object: &Existing<Self>,
        owner: &Json,
        lease_seconds: u64,
        token: Option<&str>,
    ) -> Result<StateLock, Failure>
    where
        Self: Sized,
    {
        let _ = (ctx, object, owner, lease_seconds, token);
        Err(unsupported(Self::NAME, "state/lock"))
    }

    /// Gives the lock back; without a token breaks whatever lock there is.
    ///
    /// # Errors
    /// When the token does not hold it.
    fn state_unlock(&self, ctx: &Context, object: &Existing<Self>, token: Option<&str>) -> Result<(), Failure>
    where
        Self: Sized,
    {
        let _ = (ctx, object, token);
        Err(unsupported(Self::NAME, "state/unlock"))
    }
}

/// What a resource type can do beside `create`.
#[derive(Debug, Clone, Default)]
pub struct Traits {
    /// `read` is written.
    pub can_read: bool,
    /// `update` is written; without it every change makes a new object.
    pub can_update: bool,
    /// `import` is written.
    pub can_import: bool,
    /// The outputs exist in the record only.
    pub stateful: bool,
    /// The `state_*` methods are written.
    pub holds_state: bool,
    /// An interrupted creation may simply be done again.
    pub repeatable: bool,
    /// `plan` is to be asked even when no input changed, because the world decides what the inputs mean.
    pub plan_always: bool,
    /// Named actions.
    pub operations: Vec<Operation>,
    /// Other names of inputs: (alias, name).
    pub aliases: Vec<(&'static str, &'static str)>,
    /// Inputs that work in an empty directory: for documentation and `freehold provider test`.
    pub examples: Vec<Example>,
}

/// A named action.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Its name.
    pub name: &'static str,
    /// One line for help.
    pub description: &'static str,
    /// How its arguments are written.
    pub arguments: &'static str,
    /// Whether it may change the outputs.
    pub changes_outputs: bool,
}

impl Traits {
    /// Adds the examples in a file: a JSON list of `{ title, inputs, update? }`. One that cannot be read adds none, which
    /// `freehold provider test` reports.
    #[must_use]
    pub fn examples_from(mut self, json: &str) -> Self {
        self.examples.extend(serde_json::from_str::<Vec<Example>>(json).unwrap_or_default());
        self
    }
}

/// An object as it is recorded.
pub struct Existing<T: ?Sized> {
    /// Inputs with which it was made.
    pub inputs: Attrs,
    /// What came of it.
    pub outputs: Attrs,
    /// The notes that were given with it.
    pub private: Private,
    pub(crate) of: std::marker::PhantomData<fn() -> Box<T>>,
}

impl<T: ResourceType> Existing<T> {
    /// The recorded inputs, typed.
    ///
    /// # Errors
    /// When they are of another version of the type.
    pub fn typed_inputs(&self) -> Result<T::Inputs, Failure> {
        super::erased::typed(&self.inputs, "recorded inputs")
    }

    /// The recorded outputs, typed.
    ///
    /// # Errors
    /// When they are of another version of the type, or of an unfinished object.
    pub fn typed_outputs(&self) -> Result<T::Outputs, Failure> {
        super::erased::typed(&self.outputs, "recorded outputs")
    }

    /// The text of a recorded output.
    pub fn output_text(&self, name: &str) -> Option<&str> {
        text_of(self.outputs.get(name)?)
    }

    /// The text of a recorded input.
    pub fn input_text(&self, name: &str) -> Option<&str> {
        text_of(self.inputs.get(name)?)
    }
}

fn text_of(value: &freehold_model::Value) -> Option<&str> {
    match value {
        freehold_model::Value::String(text) => Some(text),
        freehold_model::Value::Sensitive(inner) => text_of(inner.expose()),
        _ => None,
    }
}

/// An object that was made or changed.
#[derive(Debug, Clone)]
pub struct Made<O> {
    /// What came of it.
    pub outputs: O,
    /// Notes to be handed back later.
    pub private: Option<Json>,
    /// Places in the outputs that are secrets this time, beside those that always are.
    pub sensitive: Vec<Pointer>,
}

impl<O> Made<O> {
    /// Without notes.
    pub fn new(outputs: O) -> Self {
        Self { outputs, private: None, sensitive: Vec::new() }
    }

    /// With notes to be handed back later.
    #[must_use]
    pub fn private(mut self, private: Json) -> Self {
        self.private = Some(private);
        self
    }

    /// Makes these outputs secrets if `condition` holds, e.g. because they are made of secrets.
    #[must_use]
    pub fn sensitive_if(mut self, condition: bool, outputs: &[&'static str]) -> Self {
        if condition {
            self.sensitive.extend(outputs.iter().map(|name| Pointer::new([*name])));
        }
        self
    }

    /// Makes secrets of the same places in `output` that are secrets in `value`, of which it is a copy.
    #[must_use]
    pub fn sensitive_like(mut self, output: &str, value: &Value) -> Self {
        let within =
            |place: &Pointer| Pointer::new([output].into_iter().chain(place.tokens().iter().map(String::as_str)));
        self.sensitive.extend(value.sensitive_places().iter().map(within));
        self
    }

    /// Makes secrets of the same places in `output` that are secrets in the input `input`, of which it is a copy. The rest of it can
    /// still be computed on.
    #[must_use]
    pub fn sensitive_as(mut self, output: &str, ctx: &Context, input: &str) -> Self {
        let within = ctx.sensitive_places().iter().filter_map(|place| match place.tokens().split_first() {
            None => Some(Pointer::new([output])),
            Some((name, rest)) if name == input => {
                Some(Pointer::new([output].into_iter().chain(rest.iter().map(String::as_str))))
            }
            Some(_) => None,
        });
        self.sensitive.extend(within);
        self
    }
}

/// How an object is.
#[derive(Debug, Clone)]
pub enum ReadBack<O> {
    /// It exists; `inputs` are given when they differ from what was recorded.
    Here {
        /// As `create` would have given it.
        made: Made<O>,
        /// Inputs that would have made it so.
        inputs: Option<Attrs>,
    },
    /// It does not exist.
    Gone,
}

/// Something found by `import`.
#[derive(Debug, Clone)]
pub struct Found<O> {
    /// Inputs that describe it.
    pub inputs: Attrs,
    /// As `create` would have given it.
    pub made: Made<O>,
}

/// An action that has run.
#[derive(Debug, Clone)]
pub struct Ran<O> {
    /// 0 is success.
    pub exit_code: i32,
    /// The object afterwards, when the action changed it.
    pub made: Option<Made<O>>,
}

/// The text of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateText {
    /// As it was appended.
    pub text: String,
    /// Tells it from any other.
    pub version: String,
}

/// A lock that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLock {
    /// To renew it and to give it back.
    pub token: String,
    /// Greater than every fence given out before.
    pub fence: u64,
}

fn unsupported(type_name: &str, what: &str) -> Failure {
    Failure::user(format!("resource type `{type_name}` has no `{what}`"))
}

/// Names of operations with their descriptions, as they stand in the schema.
pub(crate) fn operations(traits: &Traits) -> BTreeMap<String, freehold_protocol::OperationSchema> {
    traits
        .operations
        .iter()
        .map(|operation| {
            let schema = freehold_protocol::OperationSchema {
                description: operation.description.into(),
                arguments: operation.arguments.into(),
                changes_outputs: operation.changes_outputs,
            };
            (operation.name.to_owned(), schema)
        })
        .collect()
}
