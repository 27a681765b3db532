# NixOps4's contract by hand, without any library: a root is a set with `_type` and a function from the outputs to a tree of
# exports. This is what a NixOps4 project comes down to, whatever library wrote it, and Freehold runs it as it is, with providers that speak protocol v0.
#
#   PATH=… freehold plan        # `nixops4-resources-local` must be on the PATH
let
  local = type: inputs: outputs: {
    resource = {
      provider = {
        type = "stdio";
        executable = "nixops4-resources-local";
        args = [ ];
      };
      inherit type inputs;
      outputsSkeleton = builtins.listToAttrs (
        map (name: {
          inherit name;
          value = { };
        }) outputs
      );
      state = null;
    };
  };
in
{
  _type = "nixops4Component";

  rootFunction =
    {
      resourceProviderSystem,
      outputValues,
      ...
    }:
    {
      members = {
        state = local "state_file" { name = "nixops4-state.json"; } [ ];
        greeting = {
          resource =
            (local "memo" { initialize_with = "hello"; } [ "value" ]).resource
            // {
              state = [ "state" ];
            };
        };
        site.members.page = local "file" {
          name = "greeting.txt";
          contents = "${outputValues.greeting.value} from ${resourceProviderSystem}\n";
        } [ ];
      };
    };

  getProviders = { system }: throw "this root has no providers to build ahead";
}
