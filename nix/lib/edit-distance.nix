# Edit distance of two strings (how many characters must be changed). Only ever called while an error is being written.
a: b:
let
  inherit (builtins)
    elemAt
    foldl'
    genList
    stringLength
    substring
    ;
  n = stringLength b;
  min = x: y: if x < y then x else y;
  # One row of the table from the row above; `row` holds the costs of turning a prefix of `a` into each prefix of `b`.
  next =
    row: i:
    foldl' (
      done: j:
      done
      ++ [
        (min (min (elemAt row (j + 1) + 1) (elemAt done j + 1)) (
          elemAt row j + (if substring i 1 a == substring j 1 b then 0 else 1)
        ))
      ]
    ) [ (i + 1) ] (genList (j: j) n);
in
elemAt (foldl' next (genList (j: j) (n + 1)) (genList (i: i) (stringLength a))) n
