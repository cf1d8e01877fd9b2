/** Answers of the REST interface; what they mean is in the service's OpenAPI document. */

import type { Counts } from "../live/protocol";

export type Status = "uploading" | "queued" | "running" | "done" | "rejected" | "failed" | "cancelled";

export interface SessionInfo {
  name: string;
  scopes: string[];
  /** Endings of names of images that can be uploaded. */
  kinds: string[];
  most_bytes: number;
}

export interface SlideInfo {
  id: string;
  name: string;
  status: Status;
  origin: string;
  priority: number;
  mpp: number | null;
  length: number | null;
  width: number | null;
  height: number | null;
  attempts: number;
  code: string | null;
  message: string | null;
  counts: Counts;
  progress: Counts;
  report: string | null;
  sha256: string | null;
  submitted: string;
  started: string | null;
  finished: string | null;
}

export interface SlideList {
  slides: SlideInfo[];
  before: number | null;
}

export interface Artefact {
  name: string;
  media: string;
  bytes: number;
  url: string;
}

export interface Share {
  count: number;
  of: number;
  percent: number | null;
  ci95: [number, number] | null;
  /** Of all cells, unknown ones in the denominator; and the limits that the unknown could widen. */
  percent_of_all: number | null;
  with_unknown: [number, number] | null;
}

/** What a class is known to do in laboratories left out of training, in words. */
export interface Elsewhere {
  laboratories: number;
  text: string;
}

export interface Flag {
  code: string;
  wording: string;
  n: number;
  of: number;
  figure: string;
  note: string;
  /** Classes whose cells were counted. */
  classes: string[];
}

interface Gradable {
  gradable: boolean;
  gradable_note: string;
  unknown_rule: string;
  flags: Flag[];
  candidates: Flag[];
  elsewhere: Record<string, Elsewhere>;
}

export interface RedFigures extends Gradable {
  total: number;
  classified: number;
  unknown: number;
  wanted: number;
  cut: number;
  distribution: Record<string, Share>;
  abnormal: Share;
}

export interface WhiteFigures extends Gradable {
  total: number;
  classified: number;
  beside: number;
  unknown: number;
  wanted: number;
  percentages: Record<string, Share>;
  neutrophils_total: Share;
  immature_granulocytes: Share;
  per_100_wbc: Record<string, number | null>;
}

export interface Figures {
  cells: number;
  red: RedFigures;
  white: WhiteFigures;
  site: { name: string; version: number; alarms: { code: string; text: string }[] } | null;
  calibration_note: string;
}

/** The head of report.json, as far as it is shown. */
export interface Report {
  status: "complete" | "partial";
  missing: { code: string; reason: string; n: number; of: number }[];
  notice: string;
  timestamp: string;
  processing_time_seconds: number;
  summary: {
    total_cells: number;
    rbc_count: number;
    wbc_count: number;
    platelet_count: number;
    rbc_wbc_ratio: number | null;
    image_quality: string;
  };
  rbc_analysis: {
    sized: number | null;
    size_classes: Record<string, number> | null;
    median_diameter_um: number | null;
    clumps: number;
    in_clumps: number;
    unclassified: number;
    flags: Flag[];
  };
  wbc_differential: { unclassified: number; clumps: number; flags: Flag[] };
  quality_metrics: {
    stain_quality: string;
    stain_note: string | null;
    focus_quality: number;
    focus_threshold: number;
    coverage: number | null;
    scale: { microns_per_pixel: number; scale_source: string; note: string | null };
    truncated: number;
    flags: Flag[];
  };
  identity: { software: string; panel: string; profile: string };
}

/** Named cells of a site, each left out in turn: shares right before and after. */
export interface Judgement {
  cells: number;
  right_before: number;
  right_after: number;
  balanced_before: number;
  balanced_after: number;
  better: boolean;
  classes: Record<string, { cells: number; before: number; after: number }>;
}

export interface SiteInfo {
  name: string;
  version: number;
  versions: number[];
  in_use: number | null;
  chosen: boolean;
  streams: Record<string, { cells: Record<string, number>; corrects: boolean; judgement: Judgement | null }>;
}

export interface SiteList {
  sites: SiteInfo[];
  chosen: string | null;
}

export interface TellingCell {
  key: [number, number];
  id: string;
  suggestion: string;
  confidence: number;
}

export interface GivenName {
  name: string;
  title: string;
}

export interface TellingCells {
  slide: string;
  cells: TellingCell[];
  of: number;
  names: GivenName[];
}

export interface NamedCell {
  key: [number, number];
  class: string;
}
