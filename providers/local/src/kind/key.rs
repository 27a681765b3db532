//! Key pairs: `ssh.keypair`, `age.keypair`, `nix.keypair`, and `key`, which is any of them by its `kind`.

use age::secrecy::ExposeSecret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use freehold_provider::sdk::{Context, Existing, Failure, Made, Ran, ResourceType, Traits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, LineEnding, PrivateKey};

use crate::secret;

/// What a key pair is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// OpenSSH, Ed25519.
    Ssh,
    /// Encryption with age, X25519.
    Age,
    /// Signing for Nix binary caches, Ed25519.
    Nix,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// The half to give away: a line for `authorized_keys`, an age recipient, or a key for `trusted-public-keys`.
    public_key: String,
    /// The half to keep: a file in OpenSSH's form, an age identity, or a Nix secret key.
    #[schemars(extend("x-sensitive" = true))]
    private_key: String,
    /// `SHA256:…` for SSH; empty for others.
    fingerprint: String,
}

pub(crate) struct Key;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct KeyInputs {
    /// What it is for.
    #[schemars(extend("x-force-new" = true))]
    kind: Kind,
    /// Comment of an SSH key.
    #[serde(default)]
    comment: String,
    /// Name of a Nix key: `cache.example.org-1`.
    #[schemars(extend("x-force-new" = true))]
    name: Option<String>,
    /// Any values; when one changes there is a new key.
    #[schemars(extend("x-force-new" = true))]
    #[allow(dead_code, reason = "only its change matters")]
    keepers: Option<Json>,
}

pub(crate) struct SshKeypair;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct SshInputs {
    /// Comment at the end of the public key; it can be changed without a new key.
    #[serde(default)]
    comment: String,
    /// Any values; when one changes there is a new key.
    #[schemars(extend("x-force-new" = true))]
    #[allow(dead_code, reason = "only its change matters")]
    keepers: Option<Json>,
}

pub(crate) struct AgeKeypair;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct AgeInputs {
    /// Any values; when one changes there is a new key.
    #[schemars(extend("x-force-new" = true))]
    #[allow(dead_code, reason = "only its change matters")]
    keepers: Option<Json>,
}

pub(crate) struct NixKeypair;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct NixInputs {
    /// Name before the colon: `cache.example.org-1`.
    #[schemars(length(min = 1), extend("x-force-new" = true))]
    name: String,
    /// Any values; when one changes there is a new key.
    #[schemars(extend("x-force-new" = true))]
    #[allow(dead_code, reason = "only its change matters")]
    keepers: Option<Json>,
}

fn traits(can_update: bool, examples: &str) -> Traits {
    let operations = vec![secret::rotate("makes a new key pair; dependents follow at the next apply")];
    Traits { stateful: true, repeatable: true, can_update, operations, ..Traits::default() }.examples_from(examples)
}

impl ResourceType for Key {
    type Inputs = KeyInputs;
    type Outputs = Outputs;
    const NAME: &'static str = "key";
    const DESCRIPTION: &'static str = "A key pair for SSH, age or Nix.";

    fn traits(&self) -> Traits {
        traits(true, include_str!("../../examples/key.json"))
    }

    fn create(&self, _: &Context, inputs: KeyInputs) -> Result<Made<Outputs>, Failure> {
        make(&inputs)
    }

    fn update(&self, _: &Context, prior: &Existing<Self>, inputs: KeyInputs) -> Result<Made<Outputs>, Failure> {
        let outputs = prior.typed_outputs()?;
        match inputs.kind {
            Kind::Ssh => with_comment(&outputs.private_key, &inputs.comment),
            _ => Ok(Made::new(outputs)),
        }
    }

    fn run(&self, _: &Context, object: &Existing<Self>, _: &str, _: &[String]) -> Result<Ran<Outputs>, Failure> {
        Ok(Ran { exit_code: 0, made: Some(make(&object.typed_inputs()?)?) })
    }
}

impl ResourceType for SshKeypair {
    type Inputs = SshInputs;
    type Outputs = Outputs;
    const NAME: &'static str = "ssh.keypair";
    const DESCRIPTION: &'static str = "An Ed25519 key pair for SSH.";

    fn traits(&self) -> Traits {
        traits(true, include_str!("../../examples/ssh.keypair.json"))
    }

    fn create(&self, _: &Context, inputs: SshInputs) -> Result<Made<Outputs>, Failure> {
        ssh(&inputs.comment)
    }

    fn update(&self, _: &Context, prior: &Existing<Self>, inputs: SshInputs) -> Result<Made<Outputs>, Failure> {
        with_comment(&prior.typed_outputs()?.private_key, &inputs.comment)
    }

    fn run(&self, _: &Context, object: &Existing<Self>, _: &str, _: &[String]) -> Result<Ran<Outputs>, Failure> {
        Ok(Ran { exit_code: 0, made: Some(ssh(&object.typed_inputs()?.comment)?) })
    }
}

impl ResourceType for AgeKeypair {
    type Inputs = AgeInputs;
    type Outputs = Outputs;
    const NAME: &'static str = "age.keypair";
    const DESCRIPTION: &'static str = "A key pair for encryption with age.";

    fn traits(&self) -> Traits {
        traits(false, include_str!("../../examples/age.keypair.json"))
    }

    fn create(&self, _: &Context, _: AgeInputs) -> Result<Made<Outputs>, Failure> {
        Ok(age_pair())
    }

    fn run(&self, _: &Context, _: &Existing<Self>, _: &str, _: &[String]) -> Result<Ran<Outputs>, Failure> {
        Ok(Ran { exit_code: 0, made: Some(age_pair()) })
    }
}

impl ResourceType for NixKeypair {
    type Inputs = NixInputs;
    type Outputs = Outputs;
    const NAME: &'static str = "nix.keypair";
    const DESCRIPTION: &'static str = "A key pair for signing the paths of a Nix binary cache.";

    fn traits(&self) -> Traits {
        traits(false, include_str!("../../examples/nix.keypair.json"))
    }

    fn create(&self, _: &Context, inputs: NixInputs) -> Result<Made<Outputs>, Failure> {
        nix(&inputs.name)
    }

    fn run(&self, _: &Context, object: &Existing<Self>, _: &str, _: &[String]) -> Result<Ran<Outputs>, Failure> {
        Ok(Ran { exit_code: 0, made: Some(nix(&object.typed_inputs()?.name)?) })
    }
}

fn make(inputs: &KeyInputs) -> Result<Made<Outputs>, Failure> {
    match (inputs.kind, &inputs.name) {
        (Kind::Ssh, _) => ssh(&inputs.comment),
        (Kind::Age, _) => Ok(age_pair()),
        (Kind::Nix, Some(name)) => nix(name),
        (Kind::Nix, None) => {
            Err(Failure::user("a Nix key needs a `name`").hint("name = \"cache.example.org-1\";").at("name"))
        }
    }
}

fn ssh(comment: &str) -> Result<Made<Outputs>, Failure> {
    let private = PrivateKey::new(KeypairData::Ed25519(new_pair()?), comment);
    ssh_outputs(&private.map_err(|e| Failure::internal("the key cannot be made").because(&e))?)
}

fn with_comment(private_key: &str, comment: &str) -> Result<Made<Outputs>, Failure> {
    let mut private = PrivateKey::from_openssh(private_key)
        .map_err(|e| Failure::internal("the recorded private key cannot be read").because(&e))?;
    private.set_comment(comment);
    ssh_outputs(&private)
}

fn ssh_outputs(private: &PrivateKey) -> Result<Made<Outputs>, Failure> {
    let cannot = |e: ssh_key::Error| Failure::internal("the key cannot be written in OpenSSH's form").because(&e);
    Ok(Made::new(Outputs {
        public_key: private.public_key().to_openssh().map_err(cannot)?,
        private_key: private.to_openssh(LineEnding::LF).map_err(cannot)?.to_string(),
        fingerprint: private.fingerprint(HashAlg::Sha256).to_string(),
    }))
}

fn age_pair() -> Made<Outputs> {
    let identity = age::x25519::Identity::generate();
    Made::new(Outputs {
        public_key: identity.to_public().to_string(),
        private_key: identity.to_string().expose_secret().to_owned(),
        fingerprint: String::new(),
    })
}

/// As `nix-store --generate-binary-cache-key`: the secret key is the seed followed by the public key.
fn nix(name: &str) -> Result<Made<Outputs>, Failure> {
    if name.is_empty() || name.contains(':') || name.chars().any(char::is_whitespace) {
        return Err(Failure::user(format!("`{name}` cannot be the name of a Nix key"))
            .hint("a name without colons and spaces: cache.example.org-1")
            .at("name"));
    }
    let pair = new_pair()?;
    Ok(Made::new(Outputs {
        public_key: format!("{name}:{}", STANDARD.encode(pair.public.0)),
        private_key: format!("{name}:{}", STANDARD.encode(pair.to_bytes())),
        fingerprint: String::new(),
    }))
}

fn new_pair() -> Result<Ed25519Keypair, Failure> {
    let mut seed = [0; 32];
    seed.copy_from_slice(&secret::bytes(32)?);
    Ok(Ed25519Keypair::from_seed(&seed))
}
