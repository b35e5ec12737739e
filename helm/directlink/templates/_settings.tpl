{{/*
The settings file: what the chart knows, with .Values.settings over it, as TOML. Nobody's secret is in it, only paths.
*/}}
{{- define "directlink.settings" -}}
{{- $secrets := "/etc/directlink/secrets" -}}
{{- $address := .Values.listen -}}
{{- $listen := dict
  "certificate" (printf "%s/gateway/tls.crt" $secrets)
  "key" (printf "%s/gateway/tls.key" $secrets)
  "client_ca" (printf "%s/banks/ca.crt" $secrets) -}}
{{- range $port, $number := .Values.ports -}}
  {{- if $number -}}{{- $_ := set $listen $port (printf "%s:%d" $address (int $number)) -}}{{- end -}}
{{- end -}}
{{- $known := dict "listen" $listen -}}
{{- with .Values.console.port -}}
  {{- $_ := set $known "console" (dict
    "address" (printf "%s:%d" $address (int .))
    "certificate" (printf "%s/console/tls.crt" $secrets)
    "key" (printf "%s/console/tls.key" $secrets)
    "client_ca" (printf "%s/staff/ca.crt" $secrets)) -}}
{{- end -}}
{{- $ledger := dict -}}
{{- if eq .Values.ledger.store "sqlite" -}}
  {{- $_ := set $ledger "sqlite" "/var/lib/directlink/ledger.db" -}}
{{- else -}}
  {{- $url := .Values.ledger.postgres.url -}}
  {{- if eq .Values.ledger.store "cloudnativepg" -}}
    {{- $url = printf "postgresql://directlink@%s-rw.%s.svc:5432/directlink" (include "directlink.database" .) .Release.Namespace -}}
  {{- end -}}
  {{- $ledger = dict "postgres" $url
    "password_file" (printf "%s/ledger/password" $secrets)
    "tls_ca" (printf "%s/ledger/ca.crt" $secrets) -}}
{{- end -}}
{{- $registries := list -}}
{{- range .Values.settings.registry -}}
  {{- $folder := printf "%s/%s" $secrets .name -}}
  {{- $files := dict
    "ca" (printf "%s/ca.crt" $folder)
    "certificate" (printf "%s/tls.crt" $folder)
    "key" (printf "%s/tls.key" $folder) -}}
  {{- $registries = append $registries (mergeOverwrite $files .) -}}
{{- end -}}
{{- $settings := mergeOverwrite
  $known
  (dict "admin" (dict "address" (printf "%s:9090" $address))
    "ledger" $ledger
    "contracts" (dict "folder" "/etc/directlink/contracts")
    "limits" (dict "shutdown_seconds_max" (include "directlink.shutdown" . | int)))
  (deepCopy .Values.settings) -}}
{{- include "directlink.toml" (dict "path" "" "table" (set $settings "registry" $registries)) -}}
{{- end -}}

{{/* How many seconds what is in flight may take to finish. */}}
{{- define "directlink.shutdown" -}}
{{ dig "limits" "shutdown_seconds_max" 30 .Values.settings | int }}
{{- end -}}

{{/*
A table of TOML and the tables in it: its own keys first, as TOML asks. Helm's toToml makes 30 a 30.0, which no setting
is. A string of JSON is one of TOML.
*/}}
{{- define "directlink.toml" -}}
{{- $path := .path -}}
{{- range $key, $value := .table -}}
  {{- if not (or (kindIs "map" $value) (kindIs "invalid" $value) (eq (include "directlink.tables" $value) "true")) }}
{{ include "directlink.toml-key" $key }} = {{ include "directlink.toml-value" $value }}
  {{- end -}}
{{- end -}}
{{- range $key, $value := .table -}}
  {{- $inner := include "directlink.toml-key" $key -}}
  {{- if $path -}}{{- $inner = printf "%s.%s" $path $inner -}}{{- end -}}
  {{- if kindIs "map" $value }}

[{{ $inner }}]
  {{- include "directlink.toml" (dict "path" $inner "table" $value) -}}
  {{- else if eq (include "directlink.tables" $value) "true" -}}
    {{- range $value }}

[[{{ $inner }}]]
    {{- include "directlink.toml" (dict "path" $inner "table" .) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether it is a list of tables. */}}
{{- define "directlink.tables" -}}
{{- if kindIs "slice" . -}}{{- if . -}}{{- kindIs "map" (first .) -}}{{- end -}}{{- end -}}
{{- end -}}

{{- define "directlink.toml-key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toRawJson . }}{{ end -}}
{{- end -}}

{{- define "directlink.toml-value" -}}
{{- if or (kindIs "float64" .) (kindIs "int" .) (kindIs "int64" .) -}}
  {{- if ne (float64 .) (float64 (int64 .)) -}}
    {{- fail (printf "settings: %v is no whole number" .) -}}
  {{- end -}}
{{ int64 . }}
{{- else -}}
{{ toRawJson . }}
{{- end -}}
{{- end -}}
