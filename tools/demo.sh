#!/usr/bin/env bash
# What `./dev demo [text]` shows, from the built command. Run folders go to runs/; a finished part is not run again.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
rebased=$root/build/release/rebased
cd -- "$root"

demo_recall() {
  "$rebased" sweep recipes/demo/{attention,based,rebased,short_conv}.toml --out runs/demo-recall \
    --title "Associative recall: attention, Based, ReBased, and a convolution that cannot"
  echo
  echo "by distance from key to query, ReBased on fresh examples:"
  "$rebased" eval mqar runs/demo-recall/rebased/model --tasks L=32,K=4
}

demo_text() {
  local recipe=recipes/demo/text.toml out=runs/demo-text
  local -a set=()
  if (($#)); then
    local list
    list=$(printf '"%s",' "$@")
    set=(--set "data.text=[${list%,}]" --set "data.extensions=[]")
    out=runs/demo-own-text
  fi
  if [[ -f $out/recipe.toml ]]; then
    "$rebased" train "$out" --resume
  else
    "$rebased" train "$recipe" --out "$out" "${set[@]}"
  fi
  echo
  echo "a sample, from the recurrent state alone:"
  "$rebased" generate "$out/model" -p $'template <class T>\n' -n 400 --temperature 0.8 --top-p 0.95 --seed 1
  echo
}

case ${1:-recall} in
  recall) demo_recall ;;
  text) shift && demo_text "$@" ;;
  *) echo "usage: tools/demo.sh [recall | text [FILE...]]" >&2 && exit 2 ;;
esac
