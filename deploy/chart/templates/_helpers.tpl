{{- define "registry.name" -}}
{{- if contains "registry" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-registry" (.Release.Name | trunc 41 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "registry.selector" -}}
app.kubernetes.io/name: registry
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "registry.labels" -}}
{{ include "registry.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "registry.configuration" -}}
{{- $config := deepCopy .Values.config }}
{{- if .Values.users.secretName }}
{{- $config = mustMergeOverwrite $config (dict "auth" (dict "htpasswd" (dict "file" "/etc/registry/users/users"))) }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{- /* The pod of a replica and of the migration alike: its settings, its secrets, nothing it need not be able to do. */ -}}
{{- define "registry.pod" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
enableServiceLinks: false  # else a service's variables look like settings of ours
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
volumes:
  - name: configuration
    configMap: {name: {{ .configuration }}}
  - name: scratch
    emptyDir: {}
  {{- if .Values.users.secretName }}
  - name: users
    secret:
      secretName: {{ .Values.users.secretName }}
      items: [{key: {{ .Values.users.secretKey }}, path: users}]
  {{- end }}
{{- end }}

{{- define "registry.container" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env:
  - {name: REGISTRY_CONFIG, value: /etc/registry/configuration/registry.yaml}
  - {name: REGISTRY_HTTP__HOST, value: ""}  # as the configuration says, not as the image does
  - {name: REGISTRY_HTTP__ALLOW_UNAUTHENTICATED, value: ""}
  - name: REGISTRY_DATABASE__URL
    valueFrom: {secretKeyRef: {name: {{ .Values.database.secretName }}, key: {{ .Values.database.secretKey }}}}
{{- with .Values.objects.secretName }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
volumeMounts:
  - {name: configuration, mountPath: /etc/registry/configuration, readOnly: true}
  - {name: scratch, mountPath: /tmp}
  {{- if .Values.users.secretName }}
  - {name: users, mountPath: /etc/registry/users, readOnly: true}
  {{- end }}
{{- end }}
