# The module system, on minilib and on nixpkgs' lib alike.
{
  freehold,
  harness,
  lib,
  onMinilib,
}:
let
  inherit (lib) mkOption types;
  config = modules: (lib.evalModules { inherit modules; }).config;
  # One option `x` of a type, defined by each of the values in a module of its own.
  merged =
    type: values: (config ([ { options.x = mkOption { inherit type; }; } ] ++ map (x: { inherit x; }) values)).x;
  fails = type: values: !(builtins.tryEval (builtins.deepSeq (merged type values) null)).success;
  is = expr: expected: { inherit expr expected; };
in
{
  "types accept and refuse" = is (map (c: fails (builtins.elemAt c 0) [ (builtins.elemAt c 1) ]) [
    [ types.int 1 ]
    [ types.int "1" ]
    [ types.bool true ]
    [ types.bool 1 ]
    [ types.str "a" ]
    [ types.str 1 ]
    [ types.path "/a" ]
    [ types.path "a" ]
    [ types.path ./modules.nix ]
    [ types.port 80 ]
    [ types.port 70000 ]
    [ types.ints.positive 0 ]
    [ types.ints.unsigned 0 ]
    [ (types.ints.between 1 3) 4 ]
    [ (types.enum [ "a" "b" ]) "b" ]
    [ (types.enum [ "a" "b" ]) "c" ]
    [ (types.nullOr types.int) null ]
    [ (types.nullOr types.int) "x" ]
    [ (types.either types.int types.str) "x" ]
    [ (types.either types.int types.str) true ]
    [ (types.oneOf [ types.int types.str types.bool ]) true ]
    [ (types.strMatching "[a-z]+") "abc" ]
    [ (types.strMatching "[a-z]+") "ab1" ]
    [ (types.listOf types.int) [ 1 2 ] ]
    [ (types.listOf types.int) [ 1 "x" ] ]
    [ (types.attrsOf types.int) { a = 1; } ]
    [ (types.attrsOf types.int) { a = "x"; } ]
    [ types.package "/etc" ]
    [ types.nonEmptyStr "" ]
    [ types.float 1.5 ]
    [ types.number 1 ]
    [ (types.addCheck types.int (x: x > 2)) 1 ]
    [ types.anything { a = [ 1 ]; } ]
  ]) [
    false
    true
    false
    true
    false
    true
    false
    true
    false
    false
    true
    true
    false
    true
    false
    true
    false
    true
    false
    true
    false
    false
    true
    false
    true
    false
    true
    true
    true
    false
    false
    true
    false
  ];

  "definitions merge by type" = is [
    (merged (types.listOf types.int) [ [ 1 ] [ 2 ] ])
    (merged types.lines [ "a" "b" ])
    (merged (types.attrsOf types.int) [ { a = 1; } { b = 2; } ])
    (merged (types.attrsOf (types.listOf types.int)) [ { a = [ 1 ]; } { a = [ 2 ]; } ])
    (merged types.str [ "a" "a" ])
    (merged types.attrs [ { a = 1; } { b = 2; } ])
    (merged types.anything [ { a.b = 1; } { a.c = 2; } ])
    (merged types.commas [ "a" "b" ])
    (merged (types.coercedTo types.int toString types.str) [ 1 ])
    (merged (types.functionTo types.int) [ (x: x + 1) ] 1)
    (merged (types.separatedString "-") [ "a" "b" ])
    (merged (types.nullOr (types.listOf types.int)) [ [ 1 ] [ 2 ] ])
    (fails types.str [ "a" "b" ])
    (fails types.raw [ "a" "a" ])
    (fails (types.uniq types.int) [ 1 1 ])
  ] [
    [ 2 1 ]
    "b\na"
    { a = 1; b = 2; }
    { a = [ 2 1 ]; }
    "a"
    { a = 1; b = 2; }
    { a = { b = 1; c = 2; }; }
    "b,a"
    "1"
    2
    "b-a"
    [ 2 1 ]
    true
    true
    true
  ];

  "lists join with the last module first and imports before what imports them" = is
    (config [
      { options.x = mkOption { type = types.listOf types.str; }; }
      {
        imports = [ { x = [ "i1" ]; imports = [ { x = [ "j1" ]; } { x = [ "j2" ]; } ]; } { x = [ "i2" ]; } ];
        x = [ "m1" ];
      }
      { imports = [ { x = [ "k1" ]; } ]; x = [ "m2" ]; }
    ]).x
    [ "j2" "j1" "k1" "i2" "i1" "m2" "m1" ];

  "priorities, conditions and order" = is [
    (merged types.int [ (lib.mkDefault 1) 2 ])
    (merged types.int [ (lib.mkForce 1) 2 ])
    (merged types.int [ (lib.mkOverride 10 1) (lib.mkForce 2) ])
    (merged types.int [ (lib.mkIf true 1) (lib.mkIf false 2) ])
    (merged (types.listOf types.int) [ (lib.mkAfter [ 1 ]) [ 2 ] (lib.mkBefore [ 3 ]) ])
    (merged (types.listOf types.int) [ (lib.mkMerge [ [ 1 ] (lib.mkIf false [ 2 ]) [ 3 ] ]) ])
    (merged (types.attrsOf types.int) [ { a = lib.mkIf false 1; b = lib.mkDefault 2; } { b = 3; } ])
    (config [
      { options.x = mkOption { default = 1; }; }
      (lib.mkIf true { x = 2; })
    ]).x
    (config [
      { options.x.y = mkOption { type = types.int; }; }
      { config = lib.mkMerge [ { x.y = lib.mkDefault 1; } (lib.mkIf true { x = lib.mkIf true { y = 2; }; }) ]; }
    ]).x.y
  ] [
    2
    1
    1
    1
    [ 3 2 1 ]
    [ 1 3 ]
    { b = 3; }
    2
    2
  ];

  "defaults, apply and read-only" = is [
    (config [ { options.x = mkOption { default = 1; apply = x: x + 1; }; } ]).x
    (config [ { options.e = lib.mkEnableOption "it"; } ]).e
    (builtins.tryEval (config [ { options.x = mkOption { type = types.int; }; } ]).x).success
    (builtins.tryEval (config [
      { options.x = mkOption { type = types.int; readOnly = true; default = 1; }; }
      { x = 2; }
      { x = 2; }
    ]).x).success
    (config [
      { options.x = mkOption { type = types.int; default = 1; }; }
      { options.x = mkOption { type = types.int; description = "d"; }; }
    ]).x
  ] [
    2
    false
    false
    false
    1
  ];

  "modules may be functions, paths and imports of each other, and be imported twice" = is (config [
    ./fixtures/imported.nix
    (
      { config, lib, word, ... }:
      {
        imports = [
          ./fixtures/imported.nix
          { _module.args.word = "w"; }
        ];
        options.copy = mkOption { default = config.list ++ [ word ]; };
        config.list = [ "function" ];
      }
    )
  ]) {
    list = [ "file" "function" ];
    copy = [ "file" "function" "w" ];
  };

  "disabledModules takes a module away" = is (config [
    ./fixtures/imported.nix
    { disabledModules = [ ./fixtures/imported.nix ]; options.list = mkOption { default = [ ]; }; }
  ]).list [ ];

  "specialArgs are there while imports are evaluated" = is
    (lib.evalModules {
      specialArgs.extra = { options.x = mkOption { default = 7; }; };
      modules = [ ({ extra, ... }: { imports = [ extra ]; }) ];
    }).config.x
    7;

  "submodules get their name, defaults and config" = is
    (config [
      {
        options.users = mkOption {
          type = types.attrsOf (types.submodule (
            { name, config, ... }:
            {
              options.name = mkOption { default = name; };
              options.home = mkOption { default = "/home/${config.name}"; };
            }
          ));
        };
      }
      { users.ann = { }; }
      { users.bob.home = "/bob"; }
    ]).users
    {
      ann = { name = "ann"; home = "/home/ann"; };
      bob = { name = "bob"; home = "/bob"; };
    };

  "submodules of several declarations are one" = is
    (config [
      { options.s = mkOption { type = types.submodule { options.a = mkOption { default = 1; }; }; default = { }; }; }
      { options.s = mkOption { type = types.submodule { options.b = mkOption { default = 2; }; }; }; }
    ]).s
    { a = 1; b = 2; };

  "submoduleWith takes modules in the long form" = is
    (merged (types.submoduleWith { modules = [ { options.a = mkOption { default = 1; }; } ]; }) [
      { imports = [ { options.b = mkOption { default = 2; }; } ]; config.a = 3; }
    ])
    { a = 3; b = 2; };

  "free-form definitions" = is
    (config [
      { freeformType = types.attrsOf types.int; options.x = mkOption { default = 1; }; }
      { y = 2; }
    ])
    { x = 1; y = 2; };

  "deferred modules are modules" = is
    (config [
      { options.m = mkOption { type = types.deferredModule; }; options.r = mkOption { }; }
      { m.options.a = mkOption { default = 1; }; }
      ({ config, ... }: { r = (lib.evalModules { modules = [ config.m { a = 2; } ]; }).config.a; })
    ]).r
    2;

  "lazyAttrsOf does not look at values, and attrsOf drops what is under a false condition" = is [
    (builtins.attrNames (merged (types.lazyAttrsOf types.int) [ { a = throw "no"; b = 1; } ]))
    (merged (types.lazyAttrsOf types.int) [ { a = throw "no"; b = 1; } ]).b
    (merged (types.attrsOf types.int) [ { a = lib.mkIf false 1; } ])
  ] [
    [ "a" "b" ]
    1
    { }
  ];

  "options say whether they are defined, where and by what" = is
    (
      let
        o = (lib.evalModules {
          modules = [
            { options.a = mkOption { type = types.int; }; options.b = mkOption { default = 1; }; options.c = mkOption { type = types.int; }; }
            { _file = "here.nix"; a = 1; }
          ];
        }).options;
      in
      [ o.a.isDefined o.b.isDefined o.c.isDefined o.a.definitions o.a.files o.b.highestPrio o.a.highestPrio "${o.a}" (lib.showOption o.a.loc) ]
    )
    [ true true false [ 1 ] [ "here.nix" ] 1500 100 "a" "a" ];

  "extendModules adds to an evaluation" = is
    ((lib.evalModules { modules = [ { options.x = mkOption { default = 1; }; } ]; }).extendModules { modules = [ { x = 2; } ]; }).config.x
    2;

  "renamed options pass their value on" = is
    (config [
      (lib.mkRenamedOptionModule [ "old" ] [ "new" ])
      { options.new = mkOption { type = types.int; }; config.old = 3; }
      (if onMinilib then { } else { options.warnings = mkOption { type = types.listOf types.raw; }; })
    ]).new
    3;

  "what is not declared is an error" = { throws = config [ { options.x = mkOption { default = 1; }; } { y = 1; } ]; };
  # (nixpkgs' lib fails here with an error of Nix itself, which nothing can catch.)
  "an argument that nothing provides is an error" =
    if onMinilib then { throws = config [ ({ nope, ... }: { options.x = mkOption { default = nope; }; }) ]; } else is 1 1;
  "a class that does not fit is an error" = {
    throws = (lib.evalModules { class = "a"; modules = [ { _class = "b"; } ]; }).config;
  };
  "long and short form mixed is an error" = { throws = config [ { options.x = mkOption { }; config.x = 1; x = 2; } ]; };
}
