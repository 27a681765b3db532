# Lifecycle, conditions, operations, explicit order.
{ freehold, harness, ... }:
let
  inherit (harness) evalRoot;
  eval =
    module: (evalRoot { root = freehold.lib.mkRoot { modules = [ module ]; }; }).members.a.resource;
  uuid = extra: { members.a = { type = "local.uuid"; } // extra; };
  defaults = {
    protect = false;
    keep = false;
    createBeforeDestroy = false;
    ignoreChanges = [ ];
    replaceWhen = null;
    moved = [ ];
  };
in
{
  "all of it" = {
    expr =
      (eval (uuid {
        lifecycle = {
          protect = true;
          keep = true;
          createBeforeDestroy = true;
          ignoreChanges = [ "env.PATH" ];
          replaceWhen = [ 1 ];
          moved = [
            "old"
            "site.old"
            [ "a.b" ]
          ];
        };
      })).lifecycle;
    expected = {
      protect = true;
      keep = true;
      createBeforeDestroy = true;
      ignoreChanges = [ "env.PATH" ];
      replaceWhen = [ 1 ];
      moved = [
        [ "old" ]
        [
          "site"
          "old"
        ]
        [ "a.b" ]
      ];
    };
  };
  "a part of it leaves the rest at its defaults" = {
    expr = (eval (uuid { lifecycle.protect = true; })).lifecycle;
    expected = defaults // {
      protect = true;
    };
  };
  "modules merge field by field, with priorities" = {
    expr =
      (eval (
        { lib, ... }:
        {
          members.a = lib.mkMerge [
            {
              type = "local.uuid";
              lifecycle.protect = lib.mkDefault true;
              lifecycle.moved = [ "x" ];
            }
            {
              lifecycle.protect = false;
              lifecycle.moved = [ "y" ];
            }
          ];
        }
      )).lifecycle;
    expected = defaults // {
      moved = [
        [ "x" ]
        [ "y" ]
      ];
    };
  };
  "a misspelt field is an error" = {
    throws = (eval (uuid { lifecycle.protekt = true; })).lifecycle;
  };
  "a field of the wrong type is an error" = {
    throws = (eval (uuid { lifecycle.protect = "yes"; })).lifecycle;
  };
  "lifecycle without a type is an error" = {
    throws = (evalRoot {
      root = freehold.lib.mkRoot { modules = [ { members.a.lifecycle.protect = true; } ]; };
    }).members.a;
  };
  "operations, with defaults for what is not said" = {
    expr =
      (eval (uuid {
        operations.go.executable = "/bin/go";
        operations.stop = {
          executable = "/bin/stop";
          args = [ "x" ];
          env.A = "a";
          stdin = "in";
          description = "d";
        };
      })).operations;
    expected = {
      go = {
        executable = "/bin/go";
        args = [ ];
        env = { };
        stdin = null;
        description = "";
      };
      stop = {
        executable = "/bin/stop";
        args = [ "x" ];
        env.A = "a";
        stdin = "in";
        description = "d";
      };
    };
  };
  "an operation without a program is an error" = {
    throws = (eval (uuid { operations.go.args = [ ]; })).operations;
  };
  "dependsOn takes members and paths" = {
    expr =
      (eval (
        { members, ... }:
        {
          members.b.members.c.type = "local.uuid";
          members.a = {
            type = "local.uuid";
            dependsOn = [
              members.b.members.c
              "b"
              [
                "b"
                "c"
              ]
            ];
          };
        }
      )).dependsOn;
    expected = [
      [
        "b"
        "c"
      ]
      [ "b" ]
      [
        "b"
        "c"
      ]
    ];
  };
  "a condition without a message is an error" = {
    throws = (eval (uuid { preconditions = [ { assertion = true; } ]; })).preconditions;
  };
}
