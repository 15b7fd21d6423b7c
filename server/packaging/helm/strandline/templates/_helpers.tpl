{{/* What all objects are called. */}}
{{- define "strandline.name" -}}
{{- if contains "strandline" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-strandline" (.Release.Name | trunc 39 | trimSuffix "-") }}
{{- end }}
{{- end }}

{{/* What they are found by. */}}
{{- define "strandline.selector" -}}
app.kubernetes.io/name: strandline
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "strandline.labels" -}}
{{ include "strandline.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* Where clients are told to connect to. */}}
{{- define "strandline.advertised" -}}
{{ .Values.advertised | default (printf "%s.%s.svc:%v" (include "strandline.name" .) .Release.Namespace .Values.service.port) }}
{{- end }}

{{/* The settings as a file: what the chart writes, and over it the user's. */}}
{{- define "strandline.settings" -}}
{{- $own := dict "listeners" "PLAINTEXT://0.0.0.0:9092" "metrics.listen" "0.0.0.0:9644" "log.dirs" "/var/lib/strandline" -}}
{{- $_ := set $own "advertised.listeners" (printf "PLAINTEXT://%s" (include "strandline.advertised" .)) -}}
{{- if and (hasKey .Values.settings "listeners") (not (hasKey .Values.settings "advertised.listeners")) -}}
{{- fail "settings has listeners and not advertised.listeners: say where clients of each are told to connect to" -}}
{{- end -}}
{{- range $name, $value := mergeOverwrite $own (deepCopy .Values.settings) }}
{{ $name }}={{ $value }}
{{- end }}
{{- end }}
