{{/* What all objects of a release are called by. */}}
{{- define "directlink.name" -}}
{{- if contains "directlink" .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-directlink" .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* By what the gateway's pods are found. Never change it: a deployment's selector cannot be changed. */}}
{{- define "directlink.selector" -}}
app.kubernetes.io/name: directlink
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{/* By what the pod that migrates is found: no service leads to it. */}}
{{- define "directlink.migration-selector" -}}
app.kubernetes.io/name: directlink
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: migration
{{- end -}}

{{- define "directlink.labels" -}}
app.kubernetes.io/name: directlink
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "directlink.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The operator's name for the database. */}}
{{- define "directlink.database" -}}
{{ include "directlink.name" . }}-ledger
{{- end -}}

{{/* Whether several replicas may run. */}}
{{- define "directlink.several" -}}
{{- if or (gt (int .Values.replicas) 1) .Values.autoscaling.enabled -}}true{{- end -}}
{{- end -}}
