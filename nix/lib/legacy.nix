# The older form of a NixOps4 project, as a root:
#
#   nixops4Deployments.default = { resources, ... }: {
#     resources.id = { type = "local.random"; inputs.bytes = 4; };
#     resources.page = { type = "local.file"; inputs = { path = "x"; contents = resources.id.hex; }; };
#   };
#   → freehold = freehold.lib.mkLegacyRoot (deployment above);
#
# What differs from today's form: `resources` for `members`, outputs are read without `.outputs`, types are strings, and the holder of the state
# may be given as the input `state`. `imports`, options of one's own and `provider.executable` work as they did.
{ freeholdLib }:
let
  resourcesModule =
    { config, lib, ... }:
    {
      _file = "<freehold: resources of the older form>";
      options.resources = lib.mkOption {
        type = lib.types.lazyAttrsOf lib.types.deferredModule;
        default = { };
        description = "Resources by name.";
      };
      config.members = config.resources;
    };

  # What `mkDeployment` made: a function from outputs to resources, without modules.
  fromFunction = deployment: {
    _type = "nixops4Component";
    rootFunction =
      {
        resourceProviderSystem,
        outputValues,
        ...
      }:
      let
        deployed = deployment.deploymentFunction {
          inherit resourceProviderSystem;
          resources = outputValues;
        };
      in
      {
        members = builtins.mapAttrs (_: r: {
          resource = {
            inherit (r) type provider inputs;
            outputsSkeleton = r.outputsSkeleton or { };
            state = r.state or null;
          };
        }) deployed.resources;
      };
    getProviders = deployment.getProviders or ({ system }: throw "this deployment does not list its providers");
  };

  mkLegacyRoot =
    deployment:
    if builtins.isAttrs deployment && deployment ? deploymentFunction then
      fromFunction deployment
    else
      freeholdLib.mkRoot {
        modules = [
          resourcesModule
          deployment
        ];
        legacy = true;
      };
in
{
  inherit mkLegacyRoot;

  # A whole `nixops4Deployments` as one root: the deployment itself when there is one, else one member for each.
  mkLegacyRoots =
    deployments:
    let
      names = builtins.attrNames deployments;
      roots = builtins.mapAttrs (_: mkLegacyRoot) deployments;
    in
    if builtins.length names == 1 then
      roots.${builtins.head names}
    else
      {
        _type = "nixops4Component";
        freehold = 1;
        rootFunction =
          args@{
            outputValues,
            freehold ? { },
            ...
          }:
          {
            members = builtins.mapAttrs (
              name: root:
              root.rootFunction (
                args
                // {
                  outputValues = outputValues.${name};
                  freehold = freehold // {
                    path = [ name ];
                  };
                }
              )
            ) roots;
          };
        getProviders = args: roots.${builtins.head names}.getProviders args;
      };
}
