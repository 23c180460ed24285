import { hostConformance } from './conformance.ts';
import { HOSTS } from './support.ts';

for (const [name, host] of HOSTS) hostConformance(name, host);
