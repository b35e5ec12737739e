{{/*
What cannot be right although every value by itself is: told all at once, before anything is rendered. The chart's
tests hold each of them (helm/directlink/ci/refused.yaml).
*/}}
{{- define "directlink.refusals" -}}
{{- $told := list -}}
{{- $values := .Values -}}
{{- $store := .Values.ledger.store -}}
{{- if and (eq $store "sqlite") (include "directlink.several" .) -}}
  {{- $told = append $told "ledger.store sqlite is a file that one process holds: set replicas to 1 and autoscaling.enabled to false, or take postgres" -}}
{{- end -}}
{{- if eq $store "postgres" -}}
  {{- if not .Values.ledger.postgres.url -}}
    {{- $told = append $told "ledger.postgres.url is missing: postgresql://user@host:port/database" -}}
  {{- end -}}
  {{- if regexMatch "://[^/@]*:[^/@]*@|password=" .Values.ledger.postgres.url -}}
    {{- $told = append $told "ledger.postgres.url holds a password, which would stand in a ConfigMap: put it into the Secret of secrets.ledger, as `password`" -}}
  {{- end -}}
  {{- if not .Values.secrets.ledger -}}
    {{- $told = append $told "secrets.ledger is missing: the Secret with `password` and `ca.crt` for Postgres" -}}
  {{- end -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.min) (int .Values.autoscaling.max)) -}}
  {{- $told = append $told "autoscaling.min is greater than autoscaling.max" -}}
{{- end -}}
{{- if not (or .Values.ports.https .Values.ports.tcp) -}}
  {{- $told = append $told "ports.https and ports.tcp are both null: at least one port for banks" -}}
{{- end -}}
{{- if eq (toString .Values.ports.https) (toString .Values.ports.tcp) -}}
  {{- $told = append $told "ports.https and ports.tcp are the same" -}}
{{- end -}}
{{- $needed := list "gateway" -}}
{{- if not .Values.secrets.banks -}}
  {{- $told = append $told "secrets.banks is missing: the Secret with `ca.crt`, the authorities of banks' certificates" -}}
{{- end -}}
{{- $console := .Values.settings.console | default dict -}}
{{- if .Values.console.port -}}
  {{- $needed = append $needed "console" -}}
  {{- if has (toString .Values.console.port) (list (toString .Values.ports.https) (toString .Values.ports.tcp)) -}}
    {{- $told = append $told "console.port is one of the ports for banks" -}}
  {{- end -}}
  {{- if not .Values.secrets.staff -}}
    {{- $told = append $told "secrets.staff is missing: the Secret with `ca.crt`, the authorities of the certificates of people and of the proxy" -}}
  {{- end -}}
  {{- if not (or $console.person $console.proxy) -}}
    {{- $told = append $told "settings.console names nobody: `person` or `proxy` says who signs in at console.port" -}}
  {{- end -}}
  {{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.staff) -}}
    {{- $told = append $told "networkPolicy.staff is empty, so nobody could reach the console: name who may, or set networkPolicy.enabled to false" -}}
  {{- end -}}
{{- else if $console -}}
  {{- $told = append $told "settings.console needs console.port: in a pod the console has a port of its own, where people sign in" -}}
{{- end -}}
{{- range .Values.settings.registry -}}
  {{- if not (and .ca .certificate .key) -}}{{- $needed = append $needed .name -}}{{- end -}}
{{- end -}}
{{- range $needed -}}
  {{- if not (or (get $values.secrets .) (hasKey $values.certificates .)) -}}
    {{- $told = append $told (printf "secrets.%s is missing, and certificates.%s too: one of them says where its certificate comes from" . .) -}}
  {{- end -}}
{{- end -}}
{{- range $folder, $_ := .Values.certificates -}}
  {{- if get $values.secrets $folder -}}
    {{- $told = append $told (printf "both secrets.%s and certificates.%s are set: one of them" $folder $folder) -}}
  {{- end -}}
{{- end -}}
{{- $sources := 0 -}}
{{- range list .Values.contracts.configMaps .Values.contracts.inImage .Values.contracts.claim -}}
  {{- if . -}}{{- $sources = add1 $sources -}}{{- end -}}
{{- end -}}
{{- if ne (int $sources) 1 -}}
  {{- $told = append $told "contracts: exactly one of configMaps, inImage and claim says where the banks' contracts are" -}}
{{- end -}}
{{- if .Values.networkPolicy.enabled -}}
  {{- if not .Values.networkPolicy.banks -}}
    {{- $told = append $told "networkPolicy.banks is empty, so no bank could come in: name who may, or set networkPolicy.enabled to false" -}}
  {{- end -}}
  {{- if not .Values.networkPolicy.outgoing -}}
    {{- $told = append $told "networkPolicy.outgoing is empty, so no registry could be reached: name where the gateway goes, or set networkPolicy.enabled to false" -}}
  {{- end -}}
{{- end -}}
{{- range .Values.settings.registry -}}
  {{- if le (include "directlink.shutdown" $ | int) (.deadline_seconds | default 20 | int) -}}
    {{- $told = append $told (printf "settings.limits.shutdown_seconds_max is not longer than deadline_seconds of registry %s: an exchange could be cut off while it waits for the registry" .name) -}}
  {{- end -}}
{{- end -}}
{{- if $told -}}
  {{- fail (printf "\n%s" (join "\n" $told)) -}}
{{- end -}}
{{- end -}}
