//! `bucket`: a bucket, made, and deleted when it is empty.

use freehold_model::Attrs;
use freehold_provider::sdk::{Context, Existing, Failure, Found, Made, ReadBack, ResourceType, Traits};
use freehold_s3::S3Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::connection::{Connections, Place, failure};

/// The resource type.
pub struct Bucket {
    connections: Connections,
}

/// Inputs of a bucket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// Its name.
    #[schemars(extend("x-force-new" = true, "x-identity" = true))]
    pub name: String,
    /// Address of the store. Default: the provider's.
    #[schemars(extend("x-force-new" = true, "x-identity" = true))]
    pub endpoint: Option<String>,
    /// Region to make it in. Default: the provider's.
    #[schemars(extend("x-force-new" = true))]
    pub region: Option<String>,
    /// Delete the objects in it when it is deleted. Without this a bucket that is not empty is not deleted.
    pub force_destroy: Option<bool>,
}

/// Outputs of a bucket.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// Its name.
    #[schemars(extend("x-stable" = true))]
    pub name: String,
    /// Region that requests are signed for.
    #[schemars(extend("x-stable" = true))]
    pub region: String,
    /// Address of the store.
    #[schemars(extend("x-stable" = true))]
    pub endpoint: String,
}

impl Bucket {
    pub(crate) fn new(connections: Connections) -> Self {
        Self { connections }
    }

    fn client(&self, ctx: &Context, inputs: &Inputs) -> Result<freehold_s3::Client, Failure> {
        let (endpoint, region) = (inputs.endpoint.as_deref(), inputs.region.as_deref());
        self.connections.client(ctx, &Place { bucket: &inputs.name, endpoint, region })
    }
}

impl ResourceType for Bucket {
    type Inputs = Inputs;
    type Outputs = Outputs;
    const NAME: &'static str = "bucket";
    const DESCRIPTION: &'static str = "A bucket.\n\nOne that is there and ours already is taken as it is. It is deleted only when \
        it is empty, unless `forceDestroy` says otherwise.";

    fn traits(&self) -> Traits {
        Traits { can_read: true, can_update: true, can_import: true, repeatable: true, ..Traits::default() }
    }

    fn planned_outputs(&self, _: &Context, inputs: &Attrs) -> Attrs {
        inputs.get("name").map(|name| ("name".to_owned(), name.clone())).into_iter().collect()
    }

    fn create(&self, ctx: &Context, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        let client = self.client(ctx, &inputs)?;
        client.create_bucket().map_err(failure)?;
        Ok(made(&client))
    }

    fn read(&self, ctx: &Context, object: &Existing<Self>) -> Result<ReadBack<Outputs>, Failure> {
        let client = self.client(ctx, &object.typed_inputs()?)?;
        match client.bucket_exists().map_err(failure)? {
            true => Ok(ReadBack::Here { made: made(&client), inputs: None }),
            false => Ok(ReadBack::Gone),
        }
    }

    fn update(&self, ctx: &Context, _: &Existing<Self>, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        // Only `forceDestroy` can differ, which the store does not know of.
        Ok(made(&self.client(ctx, &inputs)?))
    }

    fn delete(&self, ctx: &Context, object: &Existing<Self>) -> Result<(), Failure> {
        let inputs = object.typed_inputs()?;
        let client = self.client(ctx, &inputs)?;
        match client.delete_bucket() {
            Err(S3Error::BucketNotEmpty { .. }) if inputs.force_destroy == Some(true) => {
                for object in client.list_all("").map_err(failure)? {
                    if ctx.is_cancelled() {
                        return Err(Failure::cancelled());
                    }
                    ctx.progress(None, format!("deleting {}", object.key));
                    client.delete(&object.key).map_err(failure)?;
                }
                client.delete_bucket().map_err(failure)
            }
            other => other.map_err(failure),
        }
    }

    fn import(&self, ctx: &Context, id: &str) -> Result<Vec<Found<Outputs>>, Failure> {
        let client = self.connections.client(ctx, &Place { bucket: id, ..Place::default() })?;
        if !client.bucket_exists().map_err(failure)? {
            return Err(Failure::user(format!("there is no bucket `{id}` at `{}`", client.endpoint())));
        }
        let inputs = [("name".to_owned(), id.into())].into();
        Ok(vec![Found { inputs, made: made(&client) }])
    }
}

fn made(client: &freehold_s3::Client) -> Made<Outputs> {
    Made::new(Outputs {
        name: client.bucket_name().to_owned(),
        region: client.region().to_owned(),
        endpoint: client.endpoint().to_owned(),
    })
}
