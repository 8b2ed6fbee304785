{{- define "weikefu.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "weikefu.selector" -}}
app.kubernetes.io/name: weikefu
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "weikefu.labels" -}}
{{ include "weikefu.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "weikefu.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag }}{{ end }}
{{- end }}

{{- /* A path as a key of a ConfigMap, which has no slashes. */ -}}
{{- define "weikefu.key" -}}
{{ . | replace "/" "__" }}
{{- end }}
