# The older form: a project that was written as `nixops4Deployments.default = { resources, … }: { resources = … }`.
# `mkLegacyRoot` makes a root of it: types are strings, outputs are read without `.outputs`, the holder of the state is an
# input, and `imports` works.
{ freehold, ... }:
let
  # As it stood in the flake.
  nixops4Deployments.default =
    { resources, ... }:
    {
      imports = [ ./web.nix ];
      resources = {
        "state" = {
          type = "local.state_file";
          inputs.path = "keys.json";
        };
        "sshkeypair" = {
          type = "ssh.keypair";
          inputs.state = resources.state;
        };
        "authorized" = {
          type = "local.file";
          inputs = {
            path = "authorized_keys";
            contents = resources.sshkeypair.publicKey;
          };
        };
      };
    };
in
freehold.lib.mkLegacyRoot nixops4Deployments.default
