{{- define "atelier.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "atelier.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "atelier.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "atelier.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* ClusterRoles belong to no namespace: two portals on one cluster must not share them. */}}
{{- define "atelier.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "atelier.fullname" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "atelier.selector" -}}
app.kubernetes.io/name: {{ include "atelier.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Not managed-by=atelier: that is what the portal's own objects are found by. */}}
{{- define "atelier.labels" -}}
{{ include "atelier.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The processes of this installation. */}}
{{- define "atelier.roles" -}}
{{- if .Values.apart }}web gateway controller{{ else }}all{{ end -}}
{{- end -}}

{{/* Who starts and looks at tasks. */}}
{{- define "atelier.driver" -}}
{{ include "atelier.fullname" . }}-{{ if .Values.apart }}controller{{ else }}all{{ end }}
{{- end -}}

{{/* Who shows what is in the cluster, and only reads there: nobody where one process does everything. */}}
{{- define "atelier.reader" -}}
{{- if .Values.apart }}{{ include "atelier.fullname" . }}-web{{ end -}}
{{- end -}}

{{- define "atelier.webService" -}}
{{ include "atelier.fullname" . }}-{{ if .Values.apart }}web{{ else }}all{{ end }}
{{- end -}}

{{- define "atelier.gatewayService" -}}
{{ include "atelier.fullname" . }}-{{ if .Values.apart }}gateway{{ else }}all{{ end }}
{{- end -}}

{{/* An image as nodes fetch it: behind the mirror, unless its first part is a host. */}}
{{- define "atelier.image" -}}
{{- $image := required (printf "images.%s is missing: the name and tag of that image in your registry (images/README.md)." .what) (index .root.Values.images .what) -}}
{{- $first := first (splitList "/" $image) -}}
{{- $hasHost := and (contains "/" $image) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- if and .root.Values.images.registry (not $hasHost) -}}
{{- printf "%s/%s" (trimSuffix "/" .root.Values.images.registry) $image -}}
{{- else -}}
{{- $image -}}
{{- end -}}
{{- end -}}

{{- define "atelier.host" -}}
{{- $url := required "publicUrl is missing: how browsers reach the portal, https://atelier.example.org" .Values.publicUrl -}}
{{- (urlParse $url).host -}}
{{- end -}}

{{- define "atelier.scheme" -}}
{{- if .Values.tls.existingSecret }}HTTPS{{ else }}HTTP{{ end -}}
{{- end -}}
