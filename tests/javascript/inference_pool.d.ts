// The InferencePool of the Gateway API inference extension, v1: no package has its types.
export interface IInferencePool {
  apiVersion: "inference.networking.k8s.io/v1";
  kind: "InferencePool";
  metadata?: { name?: string; namespace?: string; labels?: Record<string, string> };
  spec: {
    selector: { matchLabels: Record<string, string> };
    targetPorts: Array<{ number: number }>;
    appProtocol?: "http" | "kubernetes.io/h2c";
    endpointPickerRef: {
      group?: string;
      kind?: string;
      name: string;
      port?: { number: number };
      failureMode?: "FailOpen" | "FailClose";
    };
  };
}
